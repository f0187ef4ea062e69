// The plan in words: golden texts, and for each reason a situation in which it must appear.

#include "placement/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_join.h"
#include "placement/plan.h"
#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Explanation(const Cluster& cluster, const Model& model, const PlanOptions& options = {}) {
  const absl::StatusOr<Plan> plan = MakePlan(cluster, model, options);
  return plan.ok() ? absl::StrJoin(plan->explanation, "\n") : plan.status().ToString();
}

TEST(ExplainTest, SingleHost) {
  EXPECT_EQ(Explanation({{LeaderHost("a", {Cpu("cpu")})}, 0}, DenseModel(2, 4, kMiB)),
            "One token is expected to take 8.39 ms (119.2 tokens/s): 0.0 us on a/cpu alone and 8.39 ms "
            "in the feed-forward networks of 2 layers.\n"
            "a/cpu (cpu) holds 100 % of the neurons in 8.0 MiB of the 1.0 GiB it offers.\n"
            "Expected of it besides: 953.7 tokens/s for 8 streams together and 61035.2 tokens/s for a prompt "
            "that is read.");
}

TEST(ExplainTest, HotNeuronsOnAFullGpu) {
  Model model = SparseModel(2, {0.9, 0.1, 0.05, 0.05}, 10 * kMiB);
  model.leader_memory_bytes = 8 * kMiB;
  model.leader_bytes_per_token = 4 * kMiB;
  EXPECT_EQ(
      Explanation({{LeaderHost("a", {Gpu("gpu", 30 * kMiB), Cpu("cpu")})}, 0}, model),
      "One token is expected to take 4.61 ms (216.7 tokens/s): 419 us on a/gpu alone and 4.19 ms "
      "in the feed-forward networks of 2 layers.\n"
      "a/gpu (gpu) holds 25 % of the neurons in 28.0 MiB of the 30.0 MiB it offers (8.0 MiB of it for "
      "leading); a token needs 90.0 % of its neurons; its memory is full.\n"
      "a/cpu (cpu) holds 75 % of the neurons in 60.0 MiB of the 1.0 GiB it offers; a token needs 6.7 % of "
      "its neurons.\n"
      "Expected of it besides: 302.1 tokens/s for 8 streams together and 8084.1 tokens/s for a prompt that "
      "is "
      "read.");
}

TEST(ExplainTest, HostThatHelpsSaysHowMuch) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 50)}, 0};
  EXPECT_EQ(
      Explanation(cluster, DenseModel(2, 8, 100000)),
      "One token is expected to take 900 us (1111.1 tokens/s): 0.0 us on a/cpu alone and 900 us "
      "in the feed-forward networks of 2 layers, of which 100 us wait for links; 2 round trips.\n"
      "a/cpu (cpu) holds 50 % of the neurons in 781.2 KiB of the 1.0 GiB it offers.\n"
      "b/cpu (cpu) holds 50 % of the neurons in 781.2 KiB of the 1.0 GiB it offers.\n"
      "Host b saves 700 us per token: host a alone would take 1.60 ms.\n"
      "Expected of it besides: 8888.9 tokens/s for 8 streams together and 568880.9 tokens/s for a prompt "
      "that is read.");
}

TEST(ExplainTest, HostBehindAFastLinkHidesItsRoundTrips) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 10)}, 0};
  EXPECT_THAT(
      Explanation(cluster, DenseModel(2, 3, 100000)),
      HasSubstr("in the feed-forward networks of 2 layers; 2 round trips, all hidden behind local work."));
}

TEST(ExplainTest, HostBehindASlowLinkGetsNothingWithTheFigures) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 400)}, 0};
  EXPECT_THAT(
      Explanation(cluster, DenseModel(2, 3, 30000)),
      HasSubstr(
          "\nHost b gets nothing: sending to it and back takes 400 us for each of a token's 2 steps, more "
          "than the 90 us that a step takes without it."));
}

TEST(ExplainTest, HostWhoseSmallestShareIsTooSlowGetsNothingWithTheFigures) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 70)}, 0};
  EXPECT_THAT(
      Explanation(cluster, DenseModel(2, 3, 30000)),
      HasSubstr("\nHost b gets nothing: with even one group of each step there a token would take 200 us "
                "instead of 180 us (sending there and back takes 70 us each)."));
}

TEST(ExplainTest, HostWithoutMemorySaysSo) {
  const Cluster cluster{
      {LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu", 100)}, 1), RemoteHost("c", {}, 1)}, 0};
  const std::string text = Explanation(cluster, DenseModel(1, 3, 30000));
  EXPECT_THAT(text, HasSubstr("Host b gets nothing: it offers no memory for even one group."));
  EXPECT_THAT(text, HasSubstr("Host c gets nothing: it offers no memory for even one group."));
}

TEST(ExplainTest, SlowHostThatIsNeededForItsMemoryIsJustified) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", 4 * kMiB)}), RemoteHost("b", {Cpu("cpu")}, 50000)}, 0};
  EXPECT_THAT(
      Explanation(cluster, DenseModel(2, 4, kMiB)),
      HasSubstr("\nThe model needs 8.0 MiB and host a has 4.0 MiB for it: other hosts have to help "
                "although generation is 50.00 ms per token slower than host a would be with enough memory "
                "(8.39 ms)."));
}

TEST(ExplainTest, FastHostThatIsNeededForItsMemoryIsWelcome) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", 4 * kMiB)}), RemoteHost("b", {Cpu("cpu")}, 0)}, 0};
  EXPECT_THAT(
      Explanation(cluster, DenseModel(2, 4, kMiB)),
      HasSubstr(
          "other hosts have to help, and generation is 4.19 ms per token faster than host a would be with "
          "enough memory."));
}

TEST(ExplainTest, WishToUseEveryHostStatesItsPrice) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 400)}, 0};
  const std::string text = Explanation(cluster, DenseModel(2, 4, 30000), {.use_every_host = true});
  EXPECT_THAT(text, HasSubstr("\nEvery host takes part because that was asked for: otherwise a token would "
                              "take 240 us, 680 us less."));
  EXPECT_THAT(text, Not(HasSubstr("gets nothing")));
}

TEST(ExplainTest, LocalDeviceWithoutUseSaysWhy) {
  Device slow = Cpu("slow");
  slow.dispatch_us = 1000;
  const std::string text =
      Explanation({{LeaderHost("a", {Cpu("cpu"), slow, Gpu("tiny", 10)})}, 0}, DenseModel(2, 4, 30000));
  EXPECT_THAT(text,
              HasSubstr("Device a/slow gets nothing: the other devices finish each step sooner without it."));
  EXPECT_THAT(text, HasSubstr("Device a/tiny gets nothing: the 10 B it offers hold no group."));
}

}  // namespace
}  // namespace hearth::placement
