//! Text → `Manifest`, with the place of everything. Knows nothing of graphs.
