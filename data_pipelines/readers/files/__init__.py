"""Files of strangers: listed, opened, and judged before they are unpacked."""
