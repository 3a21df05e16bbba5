"""Syntax tree -> typed tree, or every independent error. The entry is `check.check`: it resolves items (`items`,
`constants`, `layout`), then bodies (`functions`, `handlers`, `statements`, `expressions`), then proves array bounds
(`ranges`)."""
