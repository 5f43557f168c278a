"""The demo: the main job on one machine without root, driven through the command line as an operator would."""
