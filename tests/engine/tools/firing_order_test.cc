#include "engine/tools/firing_order.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(FiringOrder, SortsAndMarksEightyPercent) {
  const FiringOrder order = OrderByFiring({0.125f, 0.5f, 0.25f, 0.125f});
  EXPECT_EQ(order.shares, (std::vector<float>{0.5f, 0.25f, 0.125f, 0.125f}));
  EXPECT_EQ(order.mean, 0.25);
  EXPECT_EQ(order.hot, 3u);
  EXPECT_EQ(order.hot_share(), 0.75);
}

TEST(FiringOrder, NoneFires) {
  const FiringOrder order = OrderByFiring({0, 0});
  EXPECT_EQ(order.hot, 0u);
  EXPECT_EQ(order.mean, 0);
}

TEST(FiringOrder, OfNoNeurons) { EXPECT_EQ(OrderByFiring({}).hot_share(), 0); }

}  // namespace
}  // namespace hearth
