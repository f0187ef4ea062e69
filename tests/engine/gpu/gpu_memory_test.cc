#include "engine/device/gpu_memory.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cuda_emu/emulator_control.h"

namespace hearth {
namespace {

using testing::HasSubstr;

class GpuMemoryTest : public testing::Test {
 protected:
  void SetUp() override { live_ = cuda_emu::LiveAllocations(); }
  void TearDown() override {
    EXPECT_EQ(cuda_emu::LiveAllocations(), live_) << "memory of the GPU was not given back";
  }

  int64_t live_ = 0;
};

TEST_F(GpuMemoryTest, BudgetIsKeptToThePage) {
  const auto memory = *GpuMemory::Open(gpu::GpuKind::kEmulated, 0, 1024);
  const absl::StatusOr<GpuBuffer> most = memory->Allocate(1000);
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_EQ(memory->used_bytes(), 1024);
  const absl::Status more = memory->Allocate(1).status();
  EXPECT_EQ(more.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(more.message()), HasSubstr("1024"));
  EXPECT_EQ(memory->used_bytes(), 1024);
}

TEST_F(GpuMemoryTest, MemoryThatIsGivenBackCanBeTakenAgain) {
  const auto memory = *GpuMemory::Open(gpu::GpuKind::kEmulated, 0, 4096);
  {
    GpuBuffer first = *memory->Allocate(4096);
    GpuBuffer moved = std::move(first);
    EXPECT_EQ(memory->used_bytes(), 4096);
  }
  EXPECT_EQ(memory->used_bytes(), 0);
  EXPECT_TRUE(memory->Allocate(4096).ok());
}

TEST_F(GpuMemoryTest, SizesThatOverflowAreRefused) {
  const auto memory = *GpuMemory::Open(gpu::GpuKind::kEmulated, 0, 4096);
  for (const uint64_t bytes : {UINT64_MAX, UINT64_MAX - 255, UINT64_MAX / 2}) {
    EXPECT_EQ(memory->Allocate(bytes).status().code(), absl::StatusCode::kResourceExhausted) << bytes;
  }
}

TEST_F(GpuMemoryTest, GpuThatHasNoMemoryAlthoughTheBudgetHasIsAnErrorWithNumbers) {
  const auto memory = *GpuMemory::Open(gpu::GpuKind::kEmulated, 0, 4096);
  cuda_emu::FailAllocationAfter(0);
  const absl::Status status = memory->Allocate(512).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("512"));
  EXPECT_EQ(memory->used_bytes(), 0);
  EXPECT_TRUE(memory->Allocate(512).ok());
}

TEST_F(GpuMemoryTest, MoreThanTheGpuHasFreeIsRefusedWhenItIsOpened) {
  const absl::Status status = GpuMemory::Open(gpu::GpuKind::kEmulated, 0, uint64_t{1} << 50).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("free"));
}

TEST_F(GpuMemoryTest, GpuThatIsNotThereIsNamed) {
  const absl::Status status = GpuMemory::Open(gpu::GpuKind::kEmulated, 7, 1024).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("emulated GPU 7"));
}

}  // namespace
}  // namespace hearth
