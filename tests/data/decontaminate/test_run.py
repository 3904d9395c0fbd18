"""A folder again: finished, stopped, or taken by another process."""

from support.decontaminate import lines, write_lines

from r1reward.store.files import holding


def test_a_finished_set_is_left_alone_and_another_refused(run, training, tmp_path):
    folder, _ = training
    out = tmp_path / "out"
    assert run(folder, out)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    status, printed, _ = run(folder, out)
    assert status == 0
    assert "48 from earlier runs" in printed
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    status, _, error = run(folder, out, "image_similarity=0.95")
    assert status == 2
    assert "settings.image_similarity is 0.95, there 0.9" in error
    write_lines(folder / "rows.jsonl", lines(folder / "rows.jsonl")[1:])
    status, _, error = run(folder, out)
    assert status == 2
    assert "inputs are not what they were" in error
    next(out.glob("*.parquet")).unlink()
    status, _, error = run(folder, tmp_path)
    assert status == 2
    assert "there are other files" in error


def test_a_run_that_was_stopped_goes_on(run, training, tmp_path, monkeypatch):
    folder, _ = training
    rows = lines(folder / "rows.jsonl")
    write_lines(folder / "rows.jsonl", [{**r, "origin": str(n)} for n, r in enumerate(rows * 50)])
    assert run(folder, tmp_path / "whole")[0] == 0

    from r1reward.data.decontaminate import run as module

    work = module.clean_unit

    def stop_at_the_second(job, unit, number):
        if number == 1:
            raise KeyboardInterrupt
        return work(job, unit, number)

    monkeypatch.setattr(module, "clean_unit", stop_at_the_second)
    assert run(folder, tmp_path / "out")[0] == 130
    first = tmp_path / "out" / "part-00000.parquet"
    written = first.stat().st_mtime_ns
    monkeypatch.setattr(module, "clean_unit", work)
    status, printed, _ = run(folder, tmp_path / "out")
    assert status == 0
    assert "1,024 from earlier runs" in printed
    assert first.stat().st_mtime_ns == written
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes() or (
            path.name == "manifest.json"
        )


def test_two_at_once_do_not_write_the_same_set(run, training, tmp_path):
    out = tmp_path / "out"
    with holding(out / ".decontaminate" / "lock", RuntimeError("nobody else is there")):
        status, _, error = run(training[0], out)
    assert status == 2
    assert "another decontamination is at work there" in error
    assert run(training[0], out)[0] == 0
