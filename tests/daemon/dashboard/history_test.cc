#include "daemon/dashboard/history.h"

#include "gtest/gtest.h"

namespace hearth {
namespace {

using nlohmann::json;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Family(const std::string& name, MetricType type, const std::string& model, double value) {
  MetricFamily family{name, "", type, {}};
  auto& metric = family.metric.emplace_back();
  metric.label = {{"model", model}};
  metric.gauge.value = metric.counter.value = value;
  return family;
}

MetricFamily Waiting(const std::string& model, double value) {
  return Family("hearth_requests_waiting", MetricType::Gauge, model, value);
}

TEST(HistoryTest, KeepsWhatChartsShow) {
  History history;
  history.Add(1000, {Waiting("m", 2), Family("hearth_generated_tokens_total", MetricType::Counter, "m", 7),
                     Family("something_else", MetricType::Gauge, "m", 1)});
  const json all = history.Last();
  EXPECT_EQ(all["times"], json({1000}));
  ASSERT_EQ(all["series"].size(), 2u);
  EXPECT_EQ(all["series"][0]["name"], "hearth_generated_tokens_total");
  EXPECT_EQ(all["series"][0]["labels"], json({{"model", "m"}}));
  EXPECT_EQ(all["series"][0]["values"], json({7.0}));
}

TEST(HistoryTest, SeriesThatIsSilentHasGaps) {
  History history;
  history.Add(1000, {Waiting("a", 1)});
  history.Add(2000, {Waiting("b", 2)});
  const json all = history.Last();
  EXPECT_EQ(all["series"][0]["values"], json({1.0, nullptr}));
  EXPECT_EQ(all["series"][1]["values"], json({nullptr, 2.0}));
  EXPECT_EQ(history.Last(1)["times"], json({2000}));
  EXPECT_EQ(history.Last(1)["series"][1]["values"], json({2.0}));
}

TEST(HistoryTest, ForgetsWhatIsOld) {
  History history;
  history.Add(0, {Waiting("old", 1)});
  for (size_t i = 1; i <= History::kSamples; ++i) history.Add(static_cast<int64_t>(i), {Waiting("m", 1)});
  const json all = history.Last();
  EXPECT_EQ(all["times"].size(), History::kSamples);
  EXPECT_EQ(all["times"][0], 1);
  ASSERT_EQ(all["series"].size(), 1u);
  EXPECT_EQ(all["series"][0]["labels"]["model"], "m");
}

TEST(HistoryTest, LeavesOutWhatIsTooMuch) {
  History history;
  MetricFamily many = Waiting("0", 0);
  for (size_t i = 1; i < 2 * History::kSeries; ++i) {
    many.metric.push_back(many.metric[0]);
    many.metric.back().label[0].value = std::to_string(i);
  }
  history.Add(0, {many});
  EXPECT_EQ(history.Last()["series"].size(), History::kSeries);
}

TEST(HistoryTest, NumbersThatJsonCannotTellAreNone) {
  History history;
  history.Add(0, {Waiting("m", std::numeric_limits<double>::infinity()), Waiting("n", 1)});
  EXPECT_EQ(history.Last()["series"][0]["values"], json::array({nullptr}));
}

}  // namespace
}  // namespace hearth
