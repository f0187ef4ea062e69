// The figures of the catalogue that comes with Hearth are those of models that it computes.
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/outline/default_sparsity.h"
#include "engine/outline/model_outline.h"
#include "engine/spec/model_figures.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

ModelFigures Figures(const nlohmann::json& json) {
  const auto number = [&](const char* key) { return json.value(key, 0u); };
  return {.architecture = json.at("architecture"),
          .weights = json.at("weights"),
          .layers = number("layers"),
          .embedding = number("embedding"),
          .feed_forward = number("feed_forward"),
          .heads = number("heads"),
          .kv_heads = number("kv_heads"),
          .head_size = number("head_size"),
          .vocabulary = number("vocabulary"),
          .context = number("context"),
          .window = number("window"),
          .experts = number("experts"),
          .experts_used = number("experts_used"),
          .own_output = json.value("own_output", false),
          .attention_bias = json.value("attention_bias", false),
          .relu = json.value("relu", false)};
}

TEST(CatalogueTest, EveryModelHasAnOutlineAndTheBytesThatItsFiguresGive) {
  const nlohmann::json catalogue = nlohmann::json::parse(std::ifstream(CATALOGUE));
  ASSERT_GT(catalogue.at("models").size(), 30u);
  for (const nlohmann::json& model : catalogue.at("models")) {
    SCOPED_TRACE(model.at("name").get<std::string>());
    const auto file = FileOfFigures(Figures(model.at("figures")));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(TensorBytes(**file), model.at("computed_bytes").get<uint64_t>());
    const auto sparsity = DefaultSparsity(**file, {});
    ASSERT_TRUE(sparsity.ok()) << sparsity.status();
    const bool relu = model.at("figures").value("relu", false);
    EXPECT_EQ(sparsity->mode, relu ? SparsityMode::kExact : SparsityMode::kDense);
    const auto outline = OutlineModel(**file, {.sparsity = sparsity->mode});
    EXPECT_TRUE(outline.ok()) << outline.status();
  }
}

}  // namespace
}  // namespace hearth
