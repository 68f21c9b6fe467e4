"""`segue server`: the registrar and proxy of a small office, and its users."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segue.base.errors import LocalError
from segue.cli.option_file import config_option, fitting, table_of

if TYPE_CHECKING:
    from segue.server.config import ServerConfig
    from segue.server.store import Store

DATABASE = "~/.local/state/segue/server.db"
LISTEN = ("tls:0.0.0.0:5061", "tls:[::]:5061")
_DOMAIN = click.option("--domain", metavar="NAME", help="As for the server.")
_DB = click.option("--db", metavar="FILE", type=click.Path(), help="As for the server.")


@click.group(invoke_without_command=True)
@config_option(tables=["policy"], remedy="see docs/server.md")
@click.option("--domain", metavar="NAME", help="The domain of your users' addresses, example.org.")
@click.option("--name", metavar="HOST", help="Host name of this server. [the domain]")
@click.option(
    "--listen",
    multiple=True,
    metavar="TRANSPORT:ADDRESS[:PORT]",
    help="tls:[::]:5061, udp:192.0.2.1:5060, stun:[::] …; repeatable. [TLS only, port 5061]",
)
@click.option("--cert", metavar="FILE", type=click.Path(), help="Certificate chain for the domain (PEM).")
@click.option("--key", metavar="FILE", type=click.Path(), help="Its key (mode 600).")
@click.option(
    "--db", metavar="FILE", type=click.Path(), help=f"Database of users and registrations. [{DATABASE}]"
)
@click.option(
    "--users",
    metavar="FILE",
    type=click.Path(),
    help="File (mode 600) with lines name:password, taken in at the start.",
)
@click.option("--allow-strangers/--no-strangers", default=None, help="Let people without account call. [no]")
@click.option(
    "--allow-clear-leg/--no-clear-leg",
    default=None,
    help="Let calls that come over TLS go out over UDP or TCP: their keys can be read there. [no]",
)
@click.pass_context
def server(context: click.Context, /, **given: Any) -> None:
    """Run a SIP registrar and proxy for one domain, until stopped.

    \b
    segue server user add alice --domain example.org
    segue server --domain example.org --cert keys/example.org.pem --key keys/example.org.key
    segue server --config server.toml --listen udp:192.0.2.1:5060

    Exit status: 0 stopped; 2 something here is to be changed, and one line says what.
    """
    context.obj = given
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from segue.server.server import run_server

    config = configuration(given, *table_of(context, "policy"))
    _import_users(config, given.get("users"))
    asyncio.run(run_server(config, on_ready=_say, on_problem=_complain))


@server.group()
def user() -> None:
    """Add, remove and list users.

    \b
    segue server user add alice --domain example.org
    segue server user list --domain example.org --json
    """


@user.command("add")
@click.argument("name")
@_DOMAIN
@_DB
@click.option(
    "--password-file", metavar="FILE", type=click.Path(), help="File (mode 600) with the password. [ask]"
)
@click.pass_context
def add(context: click.Context, /, name: str, password_file: str | None, **given: Any) -> None:
    """Add a user, or give one a new password. A running server knows it two seconds later.

    \b
    segue server user add alice --domain example.org
    segue server user add bob --domain example.org --password-file bob.txt
    """
    with _store(context, given) as (store, domain):
        _check_name(name)
        if password_file is None:
            password = click.prompt(
                f"Password for sip:{name}@{domain}", hide_input=True, confirmation_prompt=True
            )
        else:
            password = _private_text(password_file, "password").strip("\r\n")
        store.put_users(domain, {name: _hashes(domain, name, password)})
    click.echo(f"sip:{name}@{domain} may register")


@user.command("remove")
@click.argument("name")
@_DOMAIN
@_DB
@click.pass_context
def remove(context: click.Context, /, name: str, **given: Any) -> None:
    """Remove a user, and what is registered. A running server knows it two seconds later.

    \b
    segue server user remove alice --domain example.org
    """
    with _store(context, given) as (store, domain):
        if not store.remove_user(domain, name):
            raise LocalError(f"there is no user {name!r}", "segue server user list")


@user.command("list")
@_DOMAIN
@_DB
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.pass_context
def list_users(context: click.Context, /, as_json: bool, **given: Any) -> None:
    """Names, one a line.

    \b
    segue server user list --domain example.org
    """
    with _store(context, given) as (store, domain):
        names = sorted(store.users(domain))
    if as_json:
        click.echo(json.dumps({"domain": domain, "users": names}, indent=1))
    else:
        for name in names:
            click.echo(name)


def _say(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


def _complain(problem: LocalError) -> None:
    click.echo(f"segue: {problem}", err=True)


def configuration(given: dict[str, Any], file: str, policy: dict[str, Any]) -> ServerConfig:
    """From options, and [policy] of `file`. Raises LocalError."""
    from segue.server.config import Listen, Policy, ServerConfig

    known = {field.name for field in fields(Policy)}
    policy = {name.replace("-", "_"): value for name, value in policy.items()}
    for name in policy.keys() - known:
        raise LocalError(f"policy has no {name!r}", f"it has {', '.join(sorted(known))}")
    for name, default in ((field.name, field.default) for field in fields(Policy) if field.name in policy):
        kind = list if isinstance(default, tuple) else type(default)
        policy[name] = fitting(file, name, kind, policy[name])
    if "digest" in policy:
        policy["digest"] = tuple(policy["digest"])
    if given.get("allow_strangers") is not None:
        policy["strangers"] = given["allow_strangers"]
    if given.get("allow_clear_leg") is not None:
        policy["allow_clear_leg"] = given["allow_clear_leg"]
    return ServerConfig(
        domain=_domain(given),
        listens=tuple(Listen.parse(text) for text in given.get("listen") or LISTEN),
        database=_database(given),
        name=given.get("name") or "",
        certificate=given.get("cert") or "",
        key=given.get("key") or "",
        policy=Policy(**policy),
    )


def _domain(options: dict[str, Any]) -> str:
    if not options.get("domain"):
        raise LocalError("which domain?", "give --domain example.org")
    return str(options["domain"]).lower()


def _database(options: dict[str, Any]) -> str:
    return str(Path(options.get("db") or DATABASE).expanduser())


@contextmanager
def _store(context: click.Context, given: dict[str, Any]) -> Iterator[tuple[Store, str]]:
    """The database that was named here, or left of `user`."""
    from segue.server.store import Store

    own = {name: value for name, value in given.items() if value is not None}
    options = {**(context.find_object(dict) or {}), **own}
    domain = _domain(options)
    store = Store(_database(options))
    try:
        yield store, domain
    finally:
        store.close()


def _import_users(config: ServerConfig, path: str | None) -> None:
    if not path:
        return
    from segue.server.store import Store

    users = {}
    for line in _private_text(path, "users").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not colon:
            raise LocalError(f"a line of {path} is not name:password", "see docs/server.md")
        users[name] = _hashes(config.domain, name, password)
    store = Store(config.database)
    try:
        store.put_users(config.domain, users)
    finally:
        store.close()


def _hashes(domain: str, name: str, password: str) -> dict[str, str]:
    from segue.server.authentication import hashes_of

    _check_name(name)
    if not password:
        raise LocalError(f"the password of {name} is empty", "choose one")
    return hashes_of(name, domain, password)


def _check_name(name: str) -> None:
    plain = name.replace("-", "").replace("_", "").replace(".", "").replace("+", "")
    if not plain.isascii() or not plain.isalnum():
        raise LocalError(f"{name!r} is no user name", "use letters, digits and . _ - +")


def _private_text(path: str, what: str) -> str:
    try:
        if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
            raise LocalError(f"the {what} file {path} can be read by others", f"chmod 600 {path}")
        return Path(path).read_text()
    except OSError as error:
        raise LocalError(f"cannot read the {what} file {path} ({error.strerror})", "give another") from None
    except UnicodeDecodeError:
        raise LocalError(f"the {what} file {path} is no text in UTF-8", "write it anew") from None


command = server  # what `cli.main` looks for
