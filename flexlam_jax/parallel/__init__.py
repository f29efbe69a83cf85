"""Many devices and processes: the mesh, where arrays live on it, and how processes end together."""
