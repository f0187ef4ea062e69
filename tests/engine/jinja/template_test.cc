#include "engine/jinja/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/engine/jinja/render_fixture.h"

namespace hearth::jinja {
namespace {

using ::testing::HasSubstr;

constexpr char kMessages[] = R"({"messages": [{"role": "user", "content": " <|im_end|> hi "},
                                              {"role": "assistant", "content": "a b"}], "n": 5})";

// -- Where text comes from
// ------------------------------------------------------------------------------------

TEST(TemplateMarksTest, TheTemplatesOwnTextIsNotMarked) {
  EXPECT_EQ(MarkedText("{{ bos_token }}<|im_start|>{{ 'x' ~ n }}", kMessages), "<s><|im_start|>x5");
}

TEST(TemplateMarksTest, InputsKeepTheirMarksWhereTheyArePutTogether) {
  EXPECT_EQ(MarkedText("{{ '<|' + messages[0].role + '|>' ~ messages[1].content }}", kMessages),
            "<|«user»|>«a b»");
  EXPECT_EQ(MarkedText("{{ [messages[0].role, 'x'] | join('-') }}", kMessages), "«user»-x");
  EXPECT_EQ(
      MarkedText("{{ '%s|%s' % (messages[0].role, 1) }}{{ '{}!'.format(n | string ~ messages[0].role) }}",
                 kMessages),
      "«user»|15«user»!");
}

TEST(TemplateMarksTest, InputsKeepTheirMarksWhereTheyAreCut) {
  EXPECT_EQ(MarkedText("{{ messages[0].content | trim }}.{{ messages[0].content.strip()[2:4] }}", kMessages),
            "«<|im_end|> hi».«im»");
  EXPECT_EQ(MarkedText("{{ ('<a>' + messages[1].content).split(' ')[0] }}", kMessages), "<a>«a»");
  EXPECT_EQ(MarkedText("{{ ('x-' ~ messages[1].content).replace('-', '<|>') }}", kMessages), "x<|>«a b»");
  EXPECT_EQ(MarkedText("{% for c in messages[0].role %}{{ c }}.{% endfor %}", kMessages), "«u».«s».«e».«r».");
}

TEST(TemplateMarksTest, InputsKeepTheirMarksThroughBlocksAndMacros) {
  EXPECT_EQ(
      MarkedText(
          "{% macro m(x) %}<{{ x }}>{% endmacro %}{% set y %}[{{ m(messages[0].role) }}]{% endset %}{{ y }}",
          kMessages),
      "[<«user»>]");
  EXPECT_EQ(MarkedText("{% filter upper %}a{{ messages[0].role }}{% endfilter %}", kMessages), "A«USER»");
}

TEST(TemplateMarksTest, WhatIsWrittenAsJsonIsMarkedWithItsQuotes) {
  EXPECT_EQ(MarkedText("{{ {'k': messages[1].content, 'n': n} | tojson }}", kMessages),
            "{\"k\": «\"a b\"», \"n\": 5}");
  EXPECT_EQ(MarkedText("{{ [messages[1].content, 'x'] }}", kMessages), "[«'a b'», 'x']");
}

TEST(TemplateMarksTest, WhereLengthsChangeAllCounts) {
  EXPECT_EQ(MarkedText("{{ ('x' + w).lower() }}", R"({"w": "İ"})"), "«xi̇»");
}

// -- Errors
// ---------------------------------------------------------------------------------------------------

TEST(TemplateErrorTest, SaysWhere) {
  EXPECT_EQ(TextOf("a\n{% if true %}\n  {{ missing.x }}{% endif %}"),
            "error: line 3, column 13: 'missing' is undefined");
  EXPECT_EQ(TextOf("{{ n + 'x' }}", kMessages),
            "error: line 1, column 6: '+' does not work between 'int' and 'str'");
  EXPECT_EQ(TextOf("{{ 'x' | nosuch }}"), "error: line 1, column 10: there is no filter 'nosuch'");
  EXPECT_EQ(TextOf("{{ 1 is nosuch }}"), "error: line 1, column 6: there is no test 'nosuch'");
  EXPECT_EQ(TextOf("{{ messages.append(1) }}", kMessages),
            "error: line 1, column 19: 'append' of a list changes it, which templates may not do");
}

TEST(TemplateErrorTest, WhatTheTemplateRaisesIsPrintable) {
  EXPECT_EQ(TextOf("{{ raise_exception('roles\\nmust alternate') }}"),
            "error: line 1, column 19: the template says: roles\\nmust alternate");
}

TEST(TemplateErrorTest, IntegersThatDoNotFitAreErrors) {
  for (const char* source :
       {"{{ 9223372036854775807 + 1 }}", "{{ 9223372036854775807 * 2 }}", "{{ 10 ** 30 }}",
        "{{ -9223372036854775807 - 2 }}", "{{ '99999999999999999999' | int }}"}) {
    EXPECT_THAT(TextOf(source), HasSubstr("64 bits")) << source;
  }
  EXPECT_THAT(TextOf("{{ n }}", R"({"n": 18446744073709551615})"), HasSubstr("64 bits"));
  EXPECT_EQ(TextOf("{{ (-9223372036854775807 - 1) // -1 }}"),
            "error: line 1, column 31: an integer does not fit 64 bits");
  EXPECT_EQ(TextOf("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
}

TEST(TemplateErrorTest, InputThatIsNoTextIsRefused) {
  const nlohmann::ordered_json inputs = {{"x", "\xff"}}, trusted = nlohmann::ordered_json::object();
  const auto rendered =
      Template::Parse("{{ x }}")->Render({inputs, trusted, absl::UnixEpoch(), absl::UTCTimeZone()});
  EXPECT_EQ(rendered.status().message(), "a text of the input is not valid UTF-8");
}

// -- Limits
// ---------------------------------------------------------------------------------------------------

absl::StatusCode CodeOf(std::string_view source, const Limits& limits) {
  return Render(source, "{}", limits).status().code();
}

TEST(TemplateLimitsTest, EachEndsARendering) {
  constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
  const Limits small{.steps = 10'000, .memory_bytes = 100'000, .output_bytes = 1000, .depth = 50};
  EXPECT_EQ(CodeOf("{% for i in range(100) %}{% for j in range(1000) %}{% endfor %}{% endfor %}", small),
            kExhausted);
  EXPECT_EQ(CodeOf("{{ 'x' * 200000 }}", small), kExhausted);
  EXPECT_EQ(CodeOf("{{ 'x'.center(200000) }}", small), kExhausted);
  EXPECT_EQ(CodeOf("{{ [0] * 200000 }}", small), kExhausted);
  EXPECT_EQ(CodeOf("{% for i in range(60) %}{{ 'x' * 50 }}{% endfor %}", small), kExhausted);
  EXPECT_EQ(CodeOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", small), kExhausted);
  EXPECT_EQ(CodeOf("{% for i in range(5) %}{{ 'x' * 50 }}{% endfor %}", small), absl::StatusCode::kOk);
}

TEST(TemplateLimitsTest, MemoryIsGivenBack) {
  const Limits small{.memory_bytes = 100'000};
  EXPECT_EQ(CodeOf("{% for i in range(1000) %}{% set x = 'x' * 50000 %}{% endfor %}", small),
            absl::StatusCode::kOk);
}

TEST(TemplateLimitsTest, SharedListsDoNotTakeForEver) {
  const std::string doubled =
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  for (const char* use : {"{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x | string | length }}"}) {
    EXPECT_EQ(CodeOf(doubled + use, {.steps = 1'000'000}), absl::StatusCode::kResourceExhausted) << use;
  }
}

TEST(TemplateLimitsTest, LongChainsAreRefusedWhereTheyAreComputed) {
  std::string sum = "{{ 1";
  for (int i = 0; i < 100'000; ++i) sum += "+1";
  EXPECT_EQ(CodeOf(sum + " }}", {}), absl::StatusCode::kResourceExhausted);
}

TEST(TemplateLimitsTest, ObjectsThatHoldOneAnotherInLongChainsAreDropped) {
  EXPECT_EQ(TextOf("{% set ns = namespace(n=none) %}{% for i in range(50000) %}{% set ns.n = "
                   "namespace(n=ns.n) %}{% endfor %}ok"),
            "ok");
  EXPECT_EQ(TextOf("{% set ns = namespace(m=none) %}{% for i in range(20000) %}{% set p = ns.m %}{% macro "
                   "m() %}{{ p }}{% endmacro %}"
                   "{% set ns.m = m %}{% endfor %}ok"),
            "ok");
}

// -- What the oracle cannot show
// ------------------------------------------------------------------------------

TEST(TemplateTest, TheClockIsGiven) {
  EXPECT_EQ(TextOf("{{ strftime_now('%d %b %Y %H:%M') }}"), "02 Jan 2025 03:04");
  EXPECT_EQ(TextOf("{{ strftime_now('') }}"), "");
}

TEST(TemplateTest, OneTemplateServesManyThreads) {
  const auto parsed = Template::Parse("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  const auto inputs = nlohmann::ordered_json::parse(kMessages);
  const nlohmann::ordered_json trusted = nlohmann::ordered_json::object();
  std::vector<std::string> texts(8);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i)
        text = parsed->Render({inputs, trusted, absl::UnixEpoch(), absl::UTCTimeZone()})->text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(texts, ::testing::Each("user <|im_end|> hi assistanta b"));
}

TEST(TemplateTest, InputsHideFunctionsButNotTheOtherWayRound) {
  EXPECT_EQ(TextOf("{{ range }}", R"({"range": "mine"})"), "mine");
  EXPECT_EQ(TextOf("{{ bos_token }}", R"({"bos_token": "forged"})"), "<s>");
}

}  // namespace
}  // namespace hearth::jinja
