#include "daemon/ready_text.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

ModelInfo Model(const std::string& name, ModelState state, const std::string& detail = "") {
  ModelInfo model;
  model.name = name;
  model.state = state;
  model.detail = detail;
  return model;
}

TEST(ReadyTextTest, IsOneLineWhenEveryModelIsReady) {
  EXPECT_EQ(ReadyText("127.0.0.1:7770", "", {}), "hearthd ready on 127.0.0.1:7770\n");
  EXPECT_EQ(ReadyText("127.0.0.1:7770", "", {Model("demo", ModelState::kReady)}),
            "hearthd ready on 127.0.0.1:7770\n");
}

TEST(ReadyTextTest, SaysInTheSecondLineWhereHttpIs) {
  EXPECT_EQ(ReadyText("127.0.0.1:7770", "OpenAI clients: http://127.0.0.1:7780/v1", {}),
            "hearthd ready on 127.0.0.1:7770\n"
            "OpenAI clients: http://127.0.0.1:7780/v1\n");
}

TEST(ReadyTextTest, SaysWhichModelsStillLoad) {
  EXPECT_EQ(
      ReadyText("127.0.0.1:7770", "", {Model("demo", ModelState::kLoading), Model("b", ModelState::kReady)}),
      "hearthd ready on 127.0.0.1:7770\n"
      "model demo is still being loaded: `hearth models` shows how far it is\n");
}

TEST(ReadyTextTest, SaysWhyAModelCannotBeUsedInOneLine) {
  EXPECT_EQ(ReadyText("127.0.0.1:7770", "", {Model("demo", ModelState::kFailed, "3 GiB\nare missing")}),
            "hearthd ready on 127.0.0.1:7770\n"
            "model demo cannot be used: 3 GiB\\nare missing\n");
}

TEST(StatusTextTest, IsOneShortLine) {
  EXPECT_EQ(StatusText("127.0.0.1:7770", {}), "ready on 127.0.0.1:7770, no models");
  EXPECT_EQ(StatusText("127.0.0.1:7770", {Model("a", ModelState::kReady)}),
            "ready on 127.0.0.1:7770, 1 model");
  EXPECT_EQ(StatusText("127.0.0.1:7770", {Model("a", ModelState::kReady), Model("b", ModelState::kLoading)}),
            "ready on 127.0.0.1:7770, 2 models");
  EXPECT_EQ(WorkerStatusText("127.0.0.1:7770"), "ready on 127.0.0.1:7770, a worker");
}

}  // namespace
}  // namespace hearth
