#!/usr/bin/env python3
"""check_includes.py must find every kind of violation, and nothing in a tree that keeps the rules."""

import os
import subprocess
import sys
import tempfile
import unittest

import check_includes


class CheckIncludesTest(unittest.TestCase):
    def check(self, files):
        """The findings in a tree of {path: text}, one per line."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return "\n".join(check_includes.check_tree(root))

    def assert_refused(self, path, line, reason):
        output = self.check({path: f"// A comment.\n{line}\n"})
        self.assertIn(f"{path}:2: ", output)
        self.assertIn(reason, output)

    def assert_accepted(self, path, line):
        self.assertEqual(self.check({path: line + "\n"}), "")

    def test_arrows_of_the_design_are_accepted(self):
        self.assert_accepted("engine/model/model.cc", '#include "engine/base/check.h"')
        self.assert_accepted("engine/kernel/matrix.cc", "#include <hwy/highway.h>")
        self.assert_accepted("placement/plan.cc", '#include <vector>\n#include "absl/types/span.h"')
        self.assert_accepted("placement/column_program.cc", "#include <ClpSimplex.hpp>")
        self.assert_accepted("daemon/cluster/a.cc", '#include "proto/hearth/v1/worker.pb.h"')
        self.assert_accepted("daemon/cluster/a.cc", "#include <boost/asio.hpp>")
        self.assert_accepted("daemon/planning/a.cc",
                             '#include "engine/model/model.h"\n#include "placement/plan.h"')
        self.assert_accepted("daemon/model_tool/a.cc", '#include "daemon/planning/a.h"')
        self.assert_accepted("client/a.cc",
                             '#include "proto/hearth/v1/models.grpc.pb.h"\n#include <CLI/CLI.hpp>')
        self.assert_accepted("proto/hearth/v1/a.proto",
                             'import "google/protobuf/duration.proto";\nimport "proto/hearth/v1/b.proto";')

    def test_engine_knows_no_network(self):
        for line in ("#include <grpcpp/grpcpp.h>", "#include <boost/asio.hpp>", "#include <sys/socket.h>",
                     '#include "google/protobuf/message.h"'):
            self.assert_refused("engine/model/a.cc", line, "engine knows no network")

    def test_kernels_know_cuda_through_one_header(self):
        self.assert_accepted("engine/gpu/gpu.h", "#include <cuda_runtime.h>")
        for line in ("#include <cuda_runtime.h>", "#include <cuda_fp16.h>", "#include <mma.h>"):
            self.assert_refused("engine/gpu/attention.cu", line, "engine/gpu/gpu.h alone")

    def test_engine_knows_no_other_part(self):
        for other in ("proto/hearth/v1/worker.pb.h", "daemon/cluster/a.h", "placement/plan.h", "client/a.h"):
            self.assert_refused("engine/model/a.cc", f'#include "{other}"', "engine must not know")

    def test_engine_folders_keep_their_order(self):
        self.assert_refused("engine/base/a.h", '#include "engine/quant/types.h"',
                            "engine/base must not know engine/quant")
        self.assert_refused("engine/kernel/a.h", '#include "engine/token/a.h"',
                            "engine/kernel must not know engine/token")
        self.assert_refused("engine/neuron/a.h", '#include "engine/model/a.h"',
                            "engine/neuron must not know engine/model")
        self.assert_refused("engine/stray/a.h", '#include "engine/base/a.h"', "no place in the order")

    def test_placement_is_pure(self):
        for line in ('#include "engine/base/check.h"',
                     "#include <sys/socket.h>", "#include <nlohmann/json.hpp>",
                     '#include "proto/hearth/v1/worker.pb.h"'):
            self.assert_refused("placement/a.cc", line, "placement")

    def test_programs_share_their_command_line(self):
        for path in ("client/a.cc", "daemon/model_tool/a.cc", "daemon/config.cc"):
            self.assert_accepted(path, '#include "engine/command_line/flags.h"\n#include "engine/base/printable.h"')
        self.assert_refused("engine/command_line/a.cc", '#include "engine/quant/types.h"',
                            "engine/command_line must not know engine/quant")
        self.assert_refused("engine/command_line/a.cc", '#include "daemon/config.h"', "engine must not know daemon")

    def test_client_knows_no_mathematics(self):
        for other in ("engine/model/model.h", "daemon/model_host.h", "placement/plan.h"):
            self.assert_refused("client/a.cc", f'#include "{other}"', "client must not know")

    def test_model_library_knows_no_daemon(self):
        self.assert_accepted("client/library/a.cc", '#include "engine/base/printable.h"\n#include "client/library/b.h"')
        for other in ("proto/hearth/v1/models.pb.h", "client/hearth_client.h", "engine/command_line/progress.h"):
            self.assert_refused("client/library/a.cc", f'#include "{other}"', "client/library must not know")

    def test_proto_knows_only_itself(self):
        self.assert_refused("proto/hearth/v1/a.proto", 'import "daemon/a.proto";',
                            "proto must not know daemon")

    def test_rooms_of_the_daemon_know_only_those_before_them(self):
        self.assert_accepted("daemon/channel/a.cc", '#include "daemon/weights/a.h"')
        self.assert_accepted("daemon/membership/a.cc", '#include "daemon/cluster_view.h"')
        self.assert_refused("daemon/weights/a.cc", '#include "daemon/channel/a.h"',
                            "daemon/weights must not know daemon/channel")
        self.assert_refused("daemon/membership/a.cc", '#include "daemon/cluster/a.h"',
                            "daemon/membership must not know daemon/cluster")
        self.assert_refused("daemon/stray/a.cc", '#include "daemon/capacity/a.h"', "no place in the order")

    def test_planning_needs_no_grpc(self):
        self.assert_refused("daemon/planning/a.cc", "#include <grpcpp/grpcpp.h>", "knows no network")
        self.assert_refused("daemon/planning/a.cc", '#include "proto/hearth/v1/a.pb.h"',
                            "must not know proto")
        self.assert_refused("daemon/planning/a.cc", '#include "daemon/cluster/a.h"',
                            "must not know daemon/cluster")
        self.assert_refused("daemon/model_tool/a.cc", '#include "daemon/serving/a.h"',
                            "must not know daemon/serving")

    def test_product_does_not_know_its_tests(self):
        self.assert_refused("engine/base/a.cc", '#include "tests/support/a.h"', "must not know tests")

    def test_spaces_in_the_directive_hide_nothing(self):
        self.assert_refused("engine/base/a.cc", '  #  include "daemon/model_host.h"',
                            "engine must not know daemon")

    def test_relative_includes_are_refused(self):
        output = self.check({"engine/base/a.cc": '#include "b.h"\n', "engine/base/b.h": ""})
        self.assertIn("by their path from its root", output)

    def test_rings_are_found(self):
        output = self.check({
            "daemon/config.h": '#include "daemon/capacity/a.h"\n',
            "daemon/capacity/a.h": '#include "daemon/model_host.h"\n',
        })
        self.assertIn("ring: daemon -> daemon/capacity -> daemon", output)

    def test_main_files_may_join_the_parts(self):
        self.assertEqual(self.check({
            "daemon/main.cc": '#include "daemon/cluster/a.h"\n',
            "daemon/cluster/a.h": '#include "daemon/model_host.h"\n',
        }), "")

    def test_exit_code_tells_good_from_bad(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "placement"))
            command = [sys.executable, check_includes.__file__, root]
            empty = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(empty.returncode, 1)
            self.assertIn("no sources found", empty.stderr)
            for line, code in (("#include <vector>", 0), ("#include <grpcpp/grpcpp.h>", 1)):
                with open(os.path.join(root, "placement", "a.cc"), "w", encoding="utf-8") as file:
                    file.write(line)
                self.assertEqual(subprocess.run(command, capture_output=True, check=False).returncode, code)


if __name__ == "__main__":
    unittest.main()
