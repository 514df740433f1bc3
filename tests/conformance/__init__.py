"""The conformance suite's judge: its servers, what stands between, and what is compared."""
