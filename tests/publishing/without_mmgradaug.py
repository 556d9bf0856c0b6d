"""Infer and train with published detectors where mmgradaug cannot be imported.

Arguments: a folder for the results ``NAME.pt`` and ``NAME.json``, an image, published configs.
"""

import json
import sys
from pathlib import Path

sys.modules['mmgradaug'] = None  # from here on whatever imports it fails

import torch  # noqa: E402
from mmdet.apis import inference_detector, init_detector  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.runner import Runner  # noqa: E402


class Start(Hook):
    """Keeps the weights that training starts from."""

    def before_train(self, runner):
        self.weights = {k: v.clone() for k, v in runner.model.state_dict().items()}


def train(config, out):
    """Train an epoch from the published weights, and test."""
    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.experiment_name = str(out / 'runs' / config.stem), config.stem
    cfg.train_cfg.update(max_epochs=1, val_interval=2)
    runner = Runner.from_cfg(cfg)
    start = Start()
    runner.register_hook(start)
    runner.train()
    published = torch.load(config.with_suffix('.pth'), weights_only=True)['state_dict']
    loaded = all(torch.equal(published[k], v) for k, v in start.weights.items())
    changed = sum(not torch.equal(published[k], p) for k, p in runner.model.named_parameters())
    metrics = runner.test()
    return dict(loaded=loaded, changed=changed, iterations=runner.iter, metrics=sorted(metrics))


def main(out, image, *configs):
    """Infer and train with every config."""
    for config in map(Path, configs):
        model = init_detector(str(config), str(config.with_suffix('.pth')), device='cpu')
        found = inference_detector(model, image).pred_instances
        torch.save({k: found[k] for k in found.keys()}, Path(out) / f'{config.stem}.pt')  # noqa: SIM118
        result = train(config, Path(out))
        (Path(out) / f'{config.stem}.json').write_text(json.dumps(result))
    assert sys.modules['mmgradaug'] is None


main(*sys.argv[1:])
