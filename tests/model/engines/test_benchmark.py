import json

from model.engines.benchmark import EAGER, benchmark


def test_measures_every_engine_against_eager(guided_case, tmp_path):
    report = benchmark(frames=2, rounds=1, network=guided_case.network, size=64, threads=1, cache_directory=tmp_path)
    json.dumps(report)
    engines = {
        name: figures for name, figures in report.items() if isinstance(figures, dict) and "ms_per_frame" in figures
    }
    assert {EAGER, "torch-cpu-float32", "openvino-cpu-float32-streams1"} <= engines.keys()
    assert engines[EAGER]["ratio_to_eager"] == 1
    for name, figures in engines.items():
        assert figures["ms_per_frame"] > 0
        if name != EAGER:
            assert figures["psnr_db"] > (80 if "float32" in name else 30)


def test_the_convolutions_without_effect_change_nothing_but_the_cost(plain_case, monkeypatch):
    from model.engines import benchmark as module  # noqa: PLC0415

    calls = 0
    real = module.ResidualBlock.forward

    def counted(self, x, z):
        nonlocal calls
        calls += len(self._forward_pre_hooks)
        return real(self, x, z)

    monkeypatch.setattr(module.ResidualBlock, "forward", counted)
    render = module._eager(plain_case.network, plain_case.source, plain_case.motions, None)
    first = render()
    blocks = sum(isinstance(m, module.ResidualBlock) for m in plain_case.network.modules())
    assert calls == blocks * len(plain_case.motions)
    assert not any(m._forward_pre_hooks for m in plain_case.network.modules())
    assert first.shape == (len(plain_case.motions), 3, 64, 64)
