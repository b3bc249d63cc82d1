"""python3 -m unittest, in this folder: the counts here are those that Java counts."""

import json
import pathlib
import unittest

import supernet_spec

HERE = pathlib.Path(__file__).parent


def settings():
    return json.loads((HERE / "spaces.json").read_text())["settings"]


class SpecTest(unittest.TestCase):
    def test_counts_are_those_of_java(self):
        names = []
        for setting in settings():
            names.append(supernet_spec.check_counts(setting).name)
        self.assertEqual(["fashion", "cifar", "imagenet"], names)

    def test_a_wrong_count_is_refused(self):
        for what in ("parameters", "tensors", "macs"):
            setting = dict(settings()[0])
            setting[what] += 1
            with self.assertRaisesRegex(ValueError, what):
                supernet_spec.check_counts(setting)

    def test_names_are_the_engines(self):
        net = supernet_spec.supernet(settings()[1]["space"])
        names = {c.name for c in net.convolutions()} | {c.norm for c in net.convolutions()}
        for name in ("stem.conv", "stem.bn", "layers.1.skip.conv", "layers.1.skip.bn",
                     "layers.3.k3_e6.expand", "layers.21.k5_e1_g2.project_bn", "head.bn"):
            self.assertIn(name, names)
        self.assertNotIn("layers.0.skip.conv", names)

    def test_block_names(self):
        self.assertEqual((5, 1, 2), supernet_spec.block_of("k5_e1_g2"))
        self.assertIsNone(supernet_spec.block_of("skip"))
        with self.assertRaises(ValueError):
            supernet_spec.block_of("k3e1")


if __name__ == "__main__":
    unittest.main()
