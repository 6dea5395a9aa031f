"""Any export → tracks and quarantine."""
