"""Results as values, and what people look at: tables, pictures, pages, traces."""
