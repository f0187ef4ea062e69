#include "engine/command_line/progress.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(ProgressBar, ShowsTheShareAndTheText) {
  EXPECT_EQ(ProgressBar(512, 1024, "reading", 80), "[###############...............]  50 %  reading");
}

TEST(ProgressBar, UnknownTotalIsAnEmptyBar) {
  EXPECT_EQ(ProgressBar(512, 0, "", 80), "[..............................]   0 %");
}

TEST(ProgressBar, MoreThanAllIsAFullBar) {
  EXPECT_EQ(ProgressBar(2000, 1000, "", 80), "[##############################] 100 %");
}

TEST(ProgressBar, IsCutToTheTerminal) {
  EXPECT_EQ(ProgressBar(1, 2, "reading", 10).size(), 10u);
  EXPECT_EQ(ProgressBar(1, 2, "reading", -1), "");
}

TEST(ProgressBar, TerminalEscapesAreShownAsText) {
  EXPECT_EQ(ProgressBar(1, 1, "\x1b[2J", 80).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace hearth
