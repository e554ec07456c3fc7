"""The methods: their networks, losses and training steps."""
