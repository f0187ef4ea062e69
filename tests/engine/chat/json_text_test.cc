#include "engine/chat/json_text.h"

#include <gtest/gtest.h>

#include <string>

namespace hearth {
namespace {

std::string ErrorOf(const std::string& text) {
  return std::string(ParseJson("tools", text).status().message());
}

TEST(JsonTextTest, KeepsTheOrderOfKeys) {
  EXPECT_EQ(ParseJson("tools", R"({"b": 1, "a": [true, 1.5, "x"]})")->dump(),
            R"({"b":1,"a":[true,1.5,"x"]})");
}

TEST(JsonTextTest, WhatIsNoJsonIsNamed) {
  for (const char* text : {"", "{", "[1,]", "nul", "\"\xff\"", "{} {}"}) {
    EXPECT_EQ(ErrorOf(text), "tools is not JSON in UTF-8") << text;
  }
}

TEST(JsonTextTest, DeepNestingIsRefusedWithoutMuchStack) {
  EXPECT_TRUE(ParseJson("tools", std::string(90, '[') + std::string(90, ']')).ok());
  EXPECT_EQ(ErrorOf(std::string(1'000'000, '[') + std::string(1'000'000, ']')),
            "tools nests more than 100 levels deep");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(ErrorOf(objects), "tools nests more than 100 levels deep");
}

}  // namespace
}  // namespace hearth
