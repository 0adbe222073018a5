"""IPython and Jupyter: the extension behind `%load_ext servicectx`."""
