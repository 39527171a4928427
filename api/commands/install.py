"""``livetill install``."""

import rich_click as click


@click.command("install")
@click.option(
    "--database-url",
    metavar="OWNER_URL",
    envvar="LIVETILL_OWNER_URL",
    show_envvar=True,
    required=True,
    help="The database, as a user who may create roles and schemas.",
)
def install_command(database_url: str) -> None:
    """Put the journal into a PostgreSQL of your own, upgrade it, or complete a restored one.

    Creates the schemas and three roles that nobody logs in as: livetill_owner, livetill_app and livetill_auditor. The
    user that the servers log in as then needs to be granted livetill_app, and nothing else. Safe to repeat: it adds
    what a restored dump came without, and changes nothing where all is well.

    \b
    Example:
      livetill install --database-url postgresql://postgres@db/shop
      psql postgresql://postgres@db/shop \\
        -c "CREATE ROLE shop LOGIN PASSWORD '…'" -c "GRANT livetill_app TO shop"
      livetill serve --database-url postgresql://shop@db/shop
    """
    from api.compose import install_journal

    for line in install_journal(database_url):
        click.echo(f"Mended: {line}.")
    click.echo("The journal is installed. Let the servers' user act as livetill_app: GRANT livetill_app TO that_user")
