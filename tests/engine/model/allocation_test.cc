// The steady decode loop allocates nothing. A program of its own, because it counts every operator new.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/model/allocation_counter.h"
#include "tests/engine/model/fixture.h"

namespace hearth {
namespace {

class SteadyDecodingTest : public ::testing::TestWithParam<std::string> {};

TEST_P(SteadyDecodingTest, AllocatesNothing) {
  ThreadPool pool(2);
  Runtime runtime = *OpenFixture(GetParam(), pool);
  // A step of many rows first: buffers grow to the largest step, those of experts when they are first chosen.
  ASSERT_TRUE(runtime.Evaluate(FixtureTokens(), 32).ok());
  std::vector<float> logits(24);
  const auto step = [&](uint32_t position) {
    const BatchRow row{0, position, 2, true};
    return runtime.decoder->Step({&row, 1}, absl::MakeSpan(logits)).ok();
  };
  ASSERT_TRUE(step(12));
  const uint64_t before = AllocationCount();
  for (uint32_t position = 13; position < 28; ++position) ASSERT_TRUE(step(position));
  EXPECT_EQ(AllocationCount() - before, 0u);
}

INSTANTIATE_TEST_SUITE_P(Architectures, SteadyDecodingTest,
                         ::testing::Values("llama_tied", "latent_split_grouped", "short_convolution",
                                           "sinks_and_biases", "parallel_windows", "predicted_gated",
                                           "rectified_rope"));

}  // namespace
}  // namespace hearth
