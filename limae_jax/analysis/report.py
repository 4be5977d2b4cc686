"""`limae-jax report`: writes tables, pictures and a page from finished runs, without starting jax."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limae_jax.analysis.html import Figure, page
from limae_jax.analysis.marl_eval import marl_eval_json
from limae_jax.analysis.pictures import Look, Picture, key_uri, panel_uri, save_picture
from limae_jax.analysis.plots import all_pictures
from limae_jax.analysis.runs import Study, read_study
from limae_jax.analysis.statistics import NUM_RESAMPLES
from limae_jax.analysis.summary import Outcomes
from limae_jax.analysis.tables import Table, csv_files, markdown, markdown_text, text_tables
from limae_jax.catalogue.systems import NOT_DECENTRALISED
from limae_jax.checks import user_path
from limae_jax.errors import InputError

PAGE = "report.html"


def write_report(run_dirs: Sequence[Path], out: Path) -> Study:
    """Writes report.html, report.md, a CSV file for each table, marl_eval.json, and each picture as PNG and SVG.

    Args:
        run_dirs: of `train`; see `runs.read_study` for which runs can be combined.
        out: directory, created if needed; files of these names in it are replaced.

    Returns:
        The study that was read.

    Raises:
        InputError: the runs cannot be combined in one report, or `out` is not writable.
    """
    out = Path(user_path("--out", out))
    study = read_study(run_dirs)
    outcomes = Outcomes(study)
    tables, facts, look = text_tables(outcomes), _facts(outcomes), Look(study.methods)
    pictures = list(all_pictures(outcomes, look))
    title = f"{_listed(study.methods, 'methods')} on {_listed(study.maps, 'maps')}"
    figures = [
        Figure(one.section, one.caption, [(panel.title, panel_uri(panel)) for panel in one.panels], one.legend)
        for one in pictures
    ]
    keys = {method: key_uri(look.line(method)) for method in study.methods}
    texts = csv_files(outcomes)
    texts["marl_eval.json"] = marl_eval_json(study)
    texts["report.md"] = _markdown(title, facts, study.notes, pictures, tables)
    texts[PAGE] = page(title, facts, study.notes, tables, figures, keys)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8")
        for picture in pictures:
            save_picture(picture, look, out)
    except OSError as error:
        raise InputError(f"--out={out}: cannot write there ({error.strerror}); choose another folder") from None
    return study


def _markdown(
    title: str, facts: Sequence[str], notes: Sequence[str], pictures: Sequence[Picture], tables: Sequence[Table]
) -> str:
    """Returns the first table, notes, pictures, the other tables, and how to read them; all text is escaped."""
    parts = [f"# {markdown_text(title)}", *map(markdown, tables[:1])]
    parts += [f"> {markdown_text(note)}" for note in notes]
    for picture in pictures:
        caption = markdown_text(picture.caption)
        # Brackets would end the alternative text of an image.
        parts.append(f"![{caption.replace('[', '(').replace(']', ')')}]({picture.name}.png)\n\n{caption}")
    parts += [*map(markdown, tables[1:]), "## How to read this", *map(markdown_text, facts)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _facts(outcomes: Outcomes) -> list[str]:
    study = outcomes.study
    facts = [
        "Evaluations are greedy. Env steps count those of pre-training. Curves and numbers of one map are means over"
        " the seeds with 95 % t intervals, which assume that seeds scatter normally; near 0 and 1 they do not quite."
        f" Numbers over several maps are interquartile means with a stratified bootstrap ({NUM_RESAMPLES} resamples"
        " of the seeds of each map). If all seeds agree, no interval is shown, because equal seeds do not prove that"
        " others would agree.",
    ]
    for map_name in study.maps:
        cell = study.on(map_name)[0]
        facts.append(
            f"{map_name}: {cell.budget_env_steps:,} env steps, an evaluation of {cell.num_episodes} episodes every"
            f" {cell.every_time_steps:,} time steps (final observations included)."
        )
    if any(method.partition(" (")[0] in NOT_DECENTRALISED for method in study.methods):
        facts.append("Not decentralised: agents read more than they can observe; a bound, not a method to deploy.")
    if len(study.maps) > 1 and len(outcomes.shared_maps) < len(study.maps):
        shared = ", ".join(outcomes.shared_maps)
        averaged = f"only {shared} had all methods and is averaged" if shared else "no map had all methods"
        facts.append(f"Over maps: {averaged}.")
    facts.append(
        "marl_eval.json has the evaluations in the format of marl-eval. Its absolute metrics are those of the last"
        " evaluation: the best checkpoint was not evaluated again."
    )
    return facts


def _listed(names: Sequence[str], what: str) -> str:
    """Returns all names, or their number if the text would be long."""
    text = ", ".join(names)
    return text if len(text) <= 60 else f"{len(names)} {what}"
