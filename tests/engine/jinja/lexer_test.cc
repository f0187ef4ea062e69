#include "engine/jinja/lexer.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace hearth::jinja {
namespace {

// The tokens in short: data in quotes, tags as they are written, names and operators bare.
std::string Tokens(std::string_view source) {
  const auto tokens = Tokenize(source);
  if (!tokens.ok()) return std::string(tokens.status().message());
  std::string text;
  for (const Token& token : *tokens) {
    switch (token.kind) {
      case TokenKind::kData:
        absl::StrAppend(&text, "\"", token.text, "\" ");
        break;
      case TokenKind::kVariableBegin:
        text += "{{ ";
        break;
      case TokenKind::kVariableEnd:
        text += "}} ";
        break;
      case TokenKind::kBlockBegin:
        text += "{% ";
        break;
      case TokenKind::kBlockEnd:
        text += "%} ";
        break;
      case TokenKind::kString:
        absl::StrAppend(&text, "'", token.text, "' ");
        break;
      case TokenKind::kFloat:
        absl::StrAppend(&text, token.real, "f ");
        break;
      case TokenKind::kInteger:
        absl::StrAppend(&text, token.integer, " ");
        break;
      case TokenKind::kEnd:
        break;
      default:
        absl::StrAppend(&text, token.text, " ");
    }
  }
  return text;
}

TEST(LexerTest, DropsTheLineFeedBehindABlockAndBlanksBeforeIt) {
  EXPECT_EQ(Tokens("a\n  {% x %}\nb"), "\"a\n\" {% x %} \"b\" ");
  EXPECT_EQ(Tokens("a  {% x %}\n\nb"), "\"a  \" {% x %} \"\nb\" ");
  EXPECT_EQ(Tokens("  {{ x }}\nb"), "\"  \" {{ x }} \"\nb\" ");
}

TEST(LexerTest, SignsDropOrKeepWhitespace) {
  EXPECT_EQ(Tokens("a \n {%- x -%} \n b"), "\"a\" {% x %} \"b\" ");
  EXPECT_EQ(Tokens("\n  {%+ x +%}\nb"), "\"\n  \" {% x %} \"\nb\" ");
  EXPECT_EQ(Tokens("a {{- x -}} b"), "\"a\" {{ x }} \"b\" ");
}

TEST(LexerTest, CommentsLeaveNothing) {
  EXPECT_EQ(Tokens("a\n {# c {{ #}\nb"), "\"a\n\" \"b\" ");
  EXPECT_EQ(Tokens("a {#- c -#} b{#-#}c"), "\"a\" \"b\" \"c\" ");
}

TEST(LexerTest, RawBlocksAreData) {
  EXPECT_EQ(Tokens("{% raw %}{{ x }} {% endif %}{% endraw %}\nz"), "\"{{ x }} {% endif %}\" \"z\" ");
  EXPECT_EQ(Tokens("{%- raw -%}  a  {%- endraw -%}  z"), "\"a\" \"z\" ");
}

TEST(LexerTest, TagsEndWhereBracketsAreClosed) {
  EXPECT_EQ(Tokens("{{ {'a': {}} }}"), "{{ { 'a' : { } } }} ");
  EXPECT_EQ(Tokens("{{ '}}' }}"), "{{ '}}' }} ");
}

TEST(LexerTest, ReadsNumbers) {
  EXPECT_EQ(Tokens("{{ 1_000 0x1F 0b11 0o17 1.5 2e3 1.e 3.a }}"),
            "{{ 1000 31 3 15 1.5f 2000f 1 . e 3 . a }} ");
}

TEST(LexerTest, ResolvesEscapesInStrings) {
  EXPECT_EQ(Tokens(R"({{ "a\n\x41\u00e9\'\q\101\
" }})"),
            "{{ 'a\nAé'\\qA' }} ");
}

TEST(LexerTest, LineFeedsAreNormalisedAndTheLastOneDropped) {
  EXPECT_EQ(Tokens("a\r\nb\rc\r\n"), "\"a\nb\nc\" ");
}

TEST(LexerTest, ErrorsSayWhere) {
  EXPECT_EQ(Tokens("a\n  {{ ? }}"), "line 2, column 6: unexpected character '?'");
  EXPECT_EQ(Tokens("{{ (] }}"), "line 1, column 5: unexpected ']', expected ')'");
  EXPECT_EQ(Tokens("{{ ) }}"), "line 1, column 4: unexpected ')'");
  EXPECT_EQ(Tokens("{{ 'x }}"), "line 1, column 4: the string that begins here has no end");
  EXPECT_EQ(Tokens("\n{{ x "), "line 2, column 3: the tag that begins here has no end `}}`");
  EXPECT_EQ(Tokens("{# x"), "line 1, column 1: the comment that begins here has no end `#}`");
  EXPECT_EQ(Tokens("{% raw %}x"), "line 1, column 1: the raw block that begins here has no `{% endraw %}`");
  EXPECT_EQ(Tokens("{{ 99999999999999999999 }}"), "line 1, column 4: the number is larger than 64 bits hold");
  EXPECT_EQ(Tokens(R"({{ "\ud800" }})"), "line 1, column 4: an escape in a string stands for no character");
  EXPECT_EQ(Tokens("\xff"), "it is not valid UTF-8");
}

}  // namespace
}  // namespace hearth::jinja
