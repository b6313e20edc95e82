from scripts.settings_tables import PAGE, PROCESSES, with_tables


def test_the_tables_of_the_page_are_those_of_the_settings() -> None:
    """Every setting is in docs/settings.md as it is in the code; `make settings` writes the tables."""
    page = PAGE.read_text()

    assert with_tables(page) == page


def test_every_setting_says_what_it_means() -> None:
    """No setting without a sentence."""
    for settings in PROCESSES:
        for name, field in settings.model_fields.items():
            assert (field.description or "").endswith("."), f"{settings.__name__}.{name}"
