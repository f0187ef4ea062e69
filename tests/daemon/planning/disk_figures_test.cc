#include "daemon/planning/disk_figures.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

// Two layers; of each group's 300 bytes 100 are resident, and half of the others fire.
placement::Model ModelOnDisk() {
  placement::Section neurons{.groups = {{.neurons = 16,
                                         .always_bytes = 100,
                                         .firing_bytes = 200,
                                         .frequency = 0.5,
                                         .resident_bytes = 100}},
                             .on_disk = true};
  placement::Section heads{.groups = {{.always_bytes = 1000}}, .name = {placement::GroupKind::kHeads, 0}};
  return {.sections = {heads, neurons, heads, neurons}};
}

HostCapacity HostWithDisk(double told) {
  HostCapacity host;
  host.devices = {{.name = "cpu", .read_bytes_per_s = 7},
                  {.name = "disk", .kind = "disk", .read_bytes_per_s = told}};
  return host;
}

TEST(DiskFiguresTest, WhatIsResidentIsNotReadFromTheDisk) {
  // 200 of a group's bytes are used, 100 are read.
  EXPECT_EQ(DiskSpeed(ModelOnDisk(), 1e9), 2e9);
}

TEST(DiskFiguresTest, ModelWhoseNeuronsCannotBeOnADiskHasNoSpeedThere) {
  placement::Model model = ModelOnDisk();
  for (placement::Section& section : model.sections) section.on_disk = false;
  EXPECT_EQ(DiskSpeed(model, 1e9), 0);
  EXPECT_EQ(WithDiskSpeed(HostWithDisk(1e9), model, 5e8).devices[1].read_bytes_per_s, 0);
}

TEST(DiskFiguresTest, WhatWasSaidOfADiskGoesBeforeWhatWasMeasured) {
  EXPECT_EQ(WithDiskSpeed(HostWithDisk(1e9), ModelOnDisk(), 5e8).devices[1].read_bytes_per_s, 2e9);
  EXPECT_EQ(WithDiskSpeed(HostWithDisk(0), ModelOnDisk(), 5e8).devices[1].read_bytes_per_s, 1e9);
  EXPECT_EQ(WithDiskSpeed(HostWithDisk(0), ModelOnDisk(), 0).devices[1].read_bytes_per_s, 0);
  EXPECT_EQ(WithDiskSpeed(HostWithDisk(0), ModelOnDisk(), 5e8).devices[0].read_bytes_per_s, 7);
}

TEST(DiskFiguresTest, FileThatIsNotPackedIsNotMeasured) {
  const auto file = GgufFile::Open("tests/engine/model/fixtures/llama_relu.gguf").value();
  const ModelOutline outline = OutlineModel(*file, {}).value();
  const std::vector<HostDeviceSpec> devices = {{.name = "cpu"}, {.name = "disk", .uses_disk = true}};
  EXPECT_EQ(MeasureDisk(*file, outline, devices).value(), 0);
}

}  // namespace
}  // namespace hearth
