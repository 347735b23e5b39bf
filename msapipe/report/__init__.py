"""Results as pages, films and figures. Heavy packages are imported only when something is drawn."""
