"""The package: its metadata, what a package index shows of it, and what checks it."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import grokjax

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
}


def commands(workflow: str) -> list[str]:
    """The shell commands of all jobs of a workflow."""
    jobs = WORKFLOWS[workflow]["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_a_package_index_shows_readme_with_absolute_links_and_pictures():
    text = (ROOT / "README.md").read_text()
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for substitution in hook["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    pictures = re.findall(r"!\[[^\]]*\]\((.*?)\)", text)
    assert [x for x in pictures if x.endswith("/docs/figures/alpha_sweep.png")] == [
        "https://raw.githubusercontent.com/grokjax/grokjax/main/docs/figures/alpha_sweep.png"
    ]


def test_every_address_of_the_repository_is_the_one_of_the_project():
    repository = PROJECT["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.cff"), *(ROOT / "docs").rglob("*.md")]
    for path in files:
        for owner_and_name in re.findall(r"github\.com/([\w-]+/[\w-]+)", path.read_text()):
            assert owner_and_name == repository, path


def test_the_version_is_in_the_changelog_with_its_date():
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text, re.M)
    assert released[0] == grokjax.__version__


@pytest.mark.parametrize("extra", ["bench", "commands", "cuda", "docs", "report", "test", "tpu"])
def test_there_is_an_extra(extra):
    assert PROJECT["project"]["optional-dependencies"][extra]


def test_what_a_sweep_does_not_need_is_not_installed_with_the_library():
    names = {re.match(r"[\w-]+", x)[0] for x in PROJECT["project"]["dependencies"]}
    assert not names & {"matplotlib", "tyro", "altair", "torch", "tensorboardx", "pytest"}


def test_workflows_run_the_scripts_that_a_contributor_runs():
    assert {".ci/run", ".ci/wheel ${{ matrix.versions }}"} <= set(commands("test"))
    assert 'pip install -e ".[docs]" && sphinx-build -W -n docs site' in commands("site")
    for script in ("run", "wheel"):
        subprocess.run(["bash", "-n", ROOT / ".ci" / script], check=True)


def test_every_python_that_is_promised_is_tested():
    promised = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.M)
    assert promised == WORKFLOWS["test"]["jobs"]["wheel"]["strategy"]["matrix"]["python"]


def test_hooks_before_a_commit_are_the_linters_of_the_suite():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"].split()[0] for repo in config["repos"] for hook in repo["hooks"]]
    assert entries == ["ruff", "ruff", "pyright"]


def test_issue_templates_can_be_filled_in():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        assert path.stem == "config" or {"name", "description", "body"} <= set(form)
