"""One metric, or one family of metrics, a file; a registered function is a metric."""
