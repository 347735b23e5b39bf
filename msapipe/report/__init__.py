"""Results as figures. Nothing heavy is imported before something is drawn."""
