"""Links to Colab and Binder on each notebook's page, once `_config.yml` says where the repository is."""


def without_repository(app, config):
    # jupyter-book's own default is its authors' repository: without an address of ours its notebooks would be opened.
    options = config.html_theme_options
    if not options.get("repository_url"):
        options.pop("repository_url", None)
        kept = {"notebook_interface", "thebe"}
        options["launch_buttons"] = {key: value for key, value in options["launch_buttons"].items() if key in kept}


def setup(app):
    app.connect("config-inited", without_repository, priority=100)  # before the theme reads its options
    return {"parallel_read_safe": True, "parallel_write_safe": True}
