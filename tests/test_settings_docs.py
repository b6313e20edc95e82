from scripts.settings_tables import PROCESSES, README, with_tables


def test_the_readmes_tables_are_those_of_the_settings() -> None:
    """Every setting is in the README as it is in the code; `make settings` writes them again."""
    readme = README.read_text()

    assert with_tables(readme) == readme


def test_every_setting_says_what_it_means() -> None:
    """No setting without a sentence."""
    for settings in PROCESSES:
        for name, field in settings.model_fields.items():
            assert (field.description or "").endswith("."), f"{settings.__name__}.{name}"
