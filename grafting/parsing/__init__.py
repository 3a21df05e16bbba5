"""Text -> syntax tree. On the way: `lexer` (tokens), `items` and `brackets` (where each item begins), `grammar` (Lark's
tables), `treebuilder` (`grafting.syntax`), and for mistakes `recovery`, `mistakes` and `hints`. The entry is
`parse.parse`."""
