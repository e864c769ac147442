"""Forward passes without the cost of launching each layer: graphs, and a compiled network."""
