"""Bad input: one sentence that says what, where and what to do, and exit status 1, before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convergence.commands import main as cli
from convergence.experiment.compose import compose
from convergence.system.errors import UserError
from convergence.system.options import check
from tests.support.recipes import SMALL_RUN


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runn"], "'runn' is no command; did you mean 'run'?"),
        (["run", "modle=x"], "there is no option 'modle'. Did you mean model"),
        (["run", "metric.fold=3"], "there is no option 'metric.fold'. Did you mean metric.folds"),
        (["run", "+new=1"], "there is no option 'new' to add (+new=1)"),
        (["run", "model=tiny_resnt"], "model=tiny_resnt: there is no such choice; did you mean tiny_resnet?"),
        (["run", "metric=x"], "metric=x: there is no such choice; the choices are all, cca"),
        (["run", "hydra/launcher=slrm"], "hydra/launcher=slrm: there is no such choice; did you mean slurm?"),
        (["run", "metric.folds=x"], "metric.folds=x: Value 'x' of type 'str' could not be converted to Integer."),
        (
            ["run", "metric.names=[svcca]"],
            "there is no metric 'svcca'; did you mean cca? All of them: linear, procrustes, permutation, soft_",
        ),
        (["run", "model.training.optimizer=foo"], "optimizer=foo: Invalid value 'foo', expected one of [sgd, adamw]"),
        (["run", "dataset.stimuli=7"], "7 stimuli are too few for 5 folds"),
        (["run", "dataset=image_folder"], "name it with dataset.root=PATH"),
        (["run", "output=/proc/none"], "/proc/none/depth/"),
        (["run", "model=torchvision", "model.checkpoints=[none.pth]"], "none.pth does not exist"),
        (
            ["run", "null=both", "null.draws=5"],
            "draws=5 can give no p-value below 1/6, and alpha=0.05: ask for 19 draws",
        ),
        (["run", "device=tpu9"], "device=tpu9 is not a device"),
        (["run", "dataset.size"], "dataset.size has no value: write dataset.size=VALUE."),
        (["run", "--dataset.stimuli=50"], "--dataset.stimuli=50: write dataset.stimuli=50, without dashes."),
        (["run", "--dataset.stimuli", "50"], "--dataset.stimuli: write dataset.stimuli=VALUE, without dashes."),
        (["run", "-m", "--model=tiny_vgg"], "--model=tiny_vgg: write model=tiny_vgg, without dashes."),
        (["run", "--fast"], "there is no flag --fast: `convergence run --help` lists them"),
        (["list", "model"], "did you mean list models?"),
        (["list", "metrics", "svcca"], "no metrics match 'svcca'"),
        (["figure", "nowhere"], "nowhere holds no results.parquet"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_status_1(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 1
    told = capsys.readouterr()
    assert sentence in told.err
    assert len((told.out + told.err).strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "++dataset.new=1"], "there is no option 'dataset.new' to add (++dataset.new=1)"),
        (["run", "~metric"], "~metric: an option cannot be taken away"),
        (["run", "against.seeds.init=[0]"], "sets up a second model, and there is none: name it with model@against="),
        (["run", "axis.cross_time=true"], "there is no option 'axis.cross_time'. It is one of axis=training."),
        (["run", "null.dras=1"], "there is no option 'null.dras'. Did you mean null.draws"),
        (
            ["run", "dataset=digits", "dataset.size=8"],
            "there is no option 'dataset.size'. It is one of dataset=shapes.",
        ),
        (
            ["run", "model=arrays", "model.weights=[x]"],
            "there is no option 'model.weights'. It is one of model=alexnet, model=barlow_twins_resnet50, "
            "model=convnext, model=deit and ",
        ),
        (
            ["run", "model@against=arrays", "against.training.epochs=1"],
            "there is no option 'against.training.epochs'. It is one of model@against=alexnet",
        ),
        (
            ["run", "model=[tiny_resnet,tiny_vgg]", "model.training.epochs=3"],
            "a population has no option 'model.training.epochs': give it to each network of the list, as in "
            "{model: alexnet, training: {epochs: …}}.",
        ),
        (["run", "metric=[linear,procrustes]"], "give a list such as metric.names=[linear,procrustes]"),
        (["run", "model.seeds.init=3"], "model.seeds.init=3: give a list such as [a,b]."),
        (["run", "model.training=3"], "model.training=3: it is a group of options; set one of these."),
        (["run", "=x"], "=x: there is no option before the equals sign"),
        (["run", "model={a: b}"], "model takes the name of a choice; set its options one by one, as model.name=…."),
        (["run", "dataset=image_folder", "dataset.root=???"], "dataset.root has no value: write dataset.root=VALUE."),
        (["train", "model=torchvision"], "resnet18 is not trained here: choose a recipe"),
    ],
)
def test_what_hydra_words_badly_is_said_plainly(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 1
    told = capsys.readouterr()
    assert sentence in told.err
    assert len((told.out + told.err).strip().splitlines()) == 1


@pytest.mark.parametrize("spelling", ["debug=true", "debug=True", "debug=TRUE"])
def test_debug_shows_the_traceback_however_it_is_spelt(spelling: str) -> None:
    with pytest.raises(UserError, match="7 stimuli are too few"):
        cli.main(["run", "dataset.stimuli=7", spelling])


@pytest.mark.parametrize("axis", ["depth", "training", "ood"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model@against=torchvision", "against.checkpoints=[none.pth]"], "none.pth does not exist"),
        (["model@against=tiny_vgg", "against.layers=[nope]"], "'nope' matches no layer of tiny_vgg"),
    ],
    ids=["weights", "layers"],
)
def test_what_the_second_model_lacks_is_said_before_the_first_is_trained(
    words: list[str], sentence: str, axis: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", *SMALL_RUN, f"axis={axis}", f"output={tmp_path}", f"cache={tmp_path}/cache", *words]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "word",
    [
        *("batch_size=0", "memory_gb=0", "workers=-1", "metric.folds=1", "dataset.stimuli=0", "dataset.train_images=0"),
        *("model.training.epochs=-1", "model.training.batch_size=0", "model.training.learning_rate=0"),
        *("model.training.momentum=1.5", "model.training.warmup=-0.1", "model.training.weight_decay=nan"),
    ],
)
def test_numbers_out_of_bounds_are_refused_by_their_full_name(word: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(word.split('=')[0])}=.* is out of bounds: give a number"):
        check(compose([word]))


@pytest.mark.parametrize("name", ["metric.names", "model.seeds.init", "model.layers", "model.seeds.order"])
def test_empty_lists_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"{re.escape(name)}=\[\] names nothing"):
        check(compose([f"{name}=[]"]))
