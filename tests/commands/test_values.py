"""Values as typed: any path, in every option that holds one, alone, in lists, in patterns, in sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convergence.commands.values import parsed
from convergence.commands.words import call, choices, for_hydra
from convergence.experiment.compose import compose
from convergence.system.errors import UserError
from tests.support.command import command

HOME = str(Path.home())


def words(*typed: str) -> list[str]:
    return for_hydra(typed)[1]


PATHS = [
    "runs/epoch=9-step=100.ckpt",
    "epoch=0-step=391.ckpt",
    "a=b=c",
    "=begins",
    "ends=",
    "my data/images",
    "two  spaces",
    "run (copy)/x.pth",
    "(old)",
    "range(1,3].pth",
    "data(1)",
    "net(2,3)",
    "[draft] net.pth",
    "a[1].pth",
    "x]",
    "half[open.pth",
    "curly{1}.pth",
    "{1}",
    "{seed}/epoch={epoch}.pth",
    "runs/seed_{seed}/step_{step}.ckpt",
    "{seed=3}/a.pth",
    "#1/best.pth",
    "R&D/best!.pth",
    "user@host/x",
    "$HOME/x",
    "cost$",
    "100%/x",
    "a^b",
    "a`b",
    "a;b",
    "a|b>c<d",
    "what?.pth",
    "*.pth",
    "it's.pth",
    'so "called".pth',
    "'half quoted",
    "a:b",
    "C:\\nets\\a.pth",
    "C:\\nets (old)\\a=1.pth",
    "\\\\server\\share\\a.pth",
    "D:\\folder\\",
    "größe/ü.pth",
    "模型/権重.pth",
    "сеть/вес.pth",
    "شبكة.pth",
    "réseau 🧠.pth",
    "1e3",
    "1_000",
    "007",
    "1.10",
    "3.14",
    "true",
    "Nan",
    "inf",
    "-x",
    "+x",
    "a,b",
    "runs,v2/a.pth",
    ".",
    "..",
    "a/~b",
    "a\tb",
    "${unclosed",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_alone_is_taken_as_typed(path: str) -> None:
    for option in ("dataset.root", "model.checkpoints", "output"):
        (word,) = words(f"{option}={path}")
        assert parsed(word).value() == path.replace("${", r"\${")  # which OmegaConf reads back: see below


@pytest.mark.parametrize("path", [p for p in PATHS if "," not in p and not p.startswith(("'", "x]"))])
def test_a_path_in_a_list_is_taken_as_typed(path: str) -> None:
    (word,) = words(f"model.checkpoints=[{path},b.ckpt, {path} ]")
    escaped = path.replace("${", r"\${")
    assert parsed(word).value() == [escaped, "b.ckpt", escaped]


@pytest.mark.parametrize("path", [p for p in PATHS if "'" not in p])
def test_a_path_in_quotes_is_what_the_quotes_hold(path: str) -> None:
    typed = path.replace("${", r"\${")
    assert parsed(words(f"dataset.root='{typed}'")[0]).value() == typed
    if not path.endswith("\\"):
        assert parsed(words(f"model.checkpoints=['{typed}',b]")[0]).value() == [typed, "b"]


def test_the_composed_config_holds_what_was_typed() -> None:
    typed = {
        "output": "out = (1) #2/größe",
        "cache": "~/a cache/é=1",
        "dataset.root": "~/da ta",
        "dataset.shifts_root": "~",
        "model.checkpoints": "[runs/epoch=9-step=100.ckpt,~/b (2).ckpt,${unclosed]",
        "model.name": "1e3",
        "model.layers": "[blocks.[01].*,head!]",
        "model.weights": "[007,a=b]",
    }
    made = compose(words("model=timm", "dataset=cifar10", *(f"{name}={value}" for name, value in typed.items())))
    model: Any = made.model
    dataset: Any = made.dataset
    assert made.output == typed["output"]
    assert made.cache == f"{HOME}/a cache/é=1"
    assert dataset.root == f"{HOME}/da ta"
    assert dataset.shifts_root == HOME
    assert model.checkpoints == ["runs/epoch=9-step=100.ckpt", f"{HOME}/b (2).ckpt", "${unclosed"]
    assert model.name == "1e3"
    assert model.layers == ["blocks.[01].*", "head!"]
    assert model.weights == ["007", "a=b"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("dataset.root=null", None),
        ("dataset.root=", ""),
        ("dataset.root=a\\=b", "a=b"),  # Hydra's own way to write it
        ("dataset.root='a,b'", "a,b"),
        ("dataset.root=${output}/x", "${output}/x"),
        ("cache=${output}/~x (2)", "${output}/~x (2)"),
        ("model.seeds.init=[0,1,2]", [0, 1, 2]),
        ("model.layers=[conv1,layer3.conv*,fc]", ["conv1", "layer3.conv*", "fc"]),
        ("model.layers=[]", []),
        ("dataset.levels=[c05,0.10]", ["c05", 0.1]),
        ("dataset.stimuli=null", None),
        ("metric.names=[procrustes,my metric.py:f]", ["procrustes", "my metric.py:f"]),
        ("metric.names=[procrustes,nets#2/m=1.py:f]", ["procrustes", "nets#2/m=1.py:f"]),
        ('model.key_map=["^_conv_stem=>conv_stem","^queue=>!"]', ["^_conv_stem=>conv_stem", "^queue=>!"]),
        ("model.key_map=[^_conv_stem=>conv_stem,^queue=>!]", ["^_conv_stem=>conv_stem", "^queue=>!"]),
        (r"model.key_map=[^_blocks\.(\d+)=>blocks.\1]", [r"^_blocks\.(\d+)=>blocks.\1"]),
        ("model.arguments={depth: 20}", {"depth": 20}),
        (
            "model.arguments={depth: 20, name: a=b, nested: {on: true}}",
            {"depth": 20, "name": "a=b", "nested": {"on": True}},
        ),
        ("model.arguments={widths: [16,32], file: my nets#2.pth}", {"widths": [16, 32], "file": "my nets#2.pth"}),
    ],
)
def test_what_is_of_the_grammar_keeps_its_meaning(word: str, value: object) -> None:
    assert parsed(words(word)[0]).value() == value


def test_members_of_a_population_are_taken_as_typed() -> None:
    member = "{model: timm, checkpoints: [runs/e=1.pth,b (2).pth], seeds: {init: [0]}}"
    typed = f"model=[tiny_vgg,timm/resnet50:a1_in1k,{member}]"
    assert parsed(words(typed)[1]).value() == [
        "tiny_vgg",
        "timm/resnet50:a1_in1k",
        {"model": "timm", "checkpoints": ["runs/e=1.pth", "b (2).pth"], "seeds": {"init": [0]}},
    ]
    assert parsed(words("model=~/my zoo (2).yaml")[1]).value() == "~/my zoo (2).yaml"


def test_commas_make_sweeps_and_quotes_keep_them_together() -> None:
    assert choices(["model=tiny_vgg,tiny_resnet", "metric=procrustes"]) == [
        ["model=tiny_vgg", "metric=procrustes"],
        ["model=tiny_resnet", "metric=procrustes"],
    ]
    jobs = choices(
        ["dataset.root=~/a=1,b (2),'c,d'", "model.checkpoints=[a=1.pth],[b#.pth,c]", "metric.folds=range(3,5)"]
    )
    found = {tuple(str(parsed(word).value()) for word in job) for job in jobs}
    assert len(jobs) == 12
    assert {root for root, _, _ in found} == {"~/a=1", "b (2)", "c,d"}
    assert {files for _, files, _ in found} == {"['a=1.pth']", "['b#.pth', 'c']"}
    assert {folds for _, _, folds in found} == {"3", "4"}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("dataset.root", "dataset.root has no value: write dataset.root=VALUE."),
        ("dataset.größe=3", "'dataset.größe' is no name of an option"),
        ("model.arguments={a^b: 1}", "the value {a^b: 1} is not understood; write {name: value, name: value}"),
        ("model.key_map={^a: b}", 'give a list such as \'model.key_map=["^old=>new","^drop=>!"]\''),
        ("model.seeds.init=[0,,1]", "the value [0,,1] is not understood; write a list as [a,b]"),
    ],
)
def test_what_cannot_be_read_is_shown_with_the_way_to_write_it(word: str, told: str) -> None:
    with pytest.raises(UserError) as refused:
        words(word)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["dataset=image_folder", "dataset.root=~/none #1 (größe)"], f"{HOME}/none #1 (größe)"),
        (["metric=linear,procrustes"], "metric=linear,procrustes is several values: sweep over them with --multirun"),
    ],
)
def test_a_process_tells_what_it_read(typed: list[str], told: str, tmp_path: Path) -> None:
    done = command("run", *typed, cwd=tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not any(word in done.stderr for word in ("None", "Exception", "Traceback", "antlr"))


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["model.arguments={depth: 20, wide: true}"], {"depth": 20, "wide": True}),
        (["model.arguments.depth=20", "model.arguments.name=a=b"], {"depth": 20, "name": "a=b"}),
        (["++model.arguments.depth=20"], {"depth": 20}),
        (["model.arguments={}"], {}),
    ],
)
def test_arguments_of_a_factory_take_any_name(words: list[str], arguments: dict, tmp_path: Path) -> None:
    found = []
    call(["model=module", "model.factory=nets.py:net", f"output={tmp_path}", *words], found.append)
    assert dict(found[0].model.arguments) == arguments
