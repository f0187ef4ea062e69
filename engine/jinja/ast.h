#ifndef HEARTH_ENGINE_JINJA_AST_H_
#define HEARTH_ENGINE_JINJA_AST_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/jinja/lexer.h"
#include "engine/jinja/value.h"

namespace hearth::jinja {

// A template as a tree. All nodes are owned by one Tree, so that a deep one is destroyed without recursion;
// pointers between nodes are never null unless a comment says so.

struct Expression;
struct Statement;
using Body = std::vector<const Statement*>;
using NameId = uint32_t;  // index in Tree::names

struct CallArguments {
  std::vector<const Expression*> positional;
  std::vector<std::pair<std::string, const Expression*>> named;
  const Expression* spread = nullptr;        // *list; null: none
  const Expression* named_spread = nullptr;  // **dict; null: none
};

struct Constant {
  Value value;
};
struct Name {
  NameId id;
};
struct ListLiteral {
  std::vector<const Expression*> items;
  bool tuple = false;
};
struct DictLiteral {
  std::vector<std::pair<const Expression*, const Expression*>> entries;
};
enum class UnaryOperator { kNot, kMinus, kPlus };
struct Unary {
  UnaryOperator op;
  const Expression* operand;
};
enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
struct Binary {
  BinaryOperator op;
  const Expression* left;
  const Expression* right;
};
struct Logical {
  bool is_and;
  const Expression* left;
  const Expression* right;
};
enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
struct Comparisons {
  const Expression* first;
  std::vector<std::pair<Comparison, const Expression*>> rest;
};
struct Concatenation {
  std::vector<const Expression*> parts;
};
struct Conditional {
  const Expression* condition;
  const Expression* then;
  const Expression* otherwise;  // null: undefined
};
struct Attribute {
  const Expression* object;
  std::string name;
};
struct Subscript {
  const Expression* object;
  const Expression* index;
};
struct Slice {
  const Expression* object;
  const Expression* begin;  // these three: null where left out
  const Expression* end;
  const Expression* step;
};
struct Call {
  const Expression* callee;
  CallArguments arguments;
};
struct Filter {
  const Expression* operand;  // null: the text of a block
  std::string name;
  CallArguments arguments;
};
struct Test {
  const Expression* operand;
  std::string name;
  CallArguments arguments;
  bool negated;
};

struct Expression {
  Position position;
  std::variant<Constant, Name, ListLiteral, DictLiteral, Unary, Binary, Logical, Comparisons, Concatenation,
               Conditional, Attribute, Subscript, Slice, Call, Filter, Test>
      form;
};

// What is assigned to: a name, an attribute of a namespace, or several targets.
struct Target {
  Position position;
  NameId name = 0;
  std::string attribute;      // not empty: of the namespace `name`
  std::vector<Target> parts;  // of a tuple
  bool tuple = false;
};

struct Parameter {
  NameId name;
  const Expression* fallback;  // null: none
};

struct MacroBody {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  // Whether the body mentions the names that get what no parameter takes, and the block of a call.
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

struct Data {
  std::string text;
};
struct Output {
  const Expression* value;
};
struct If {
  std::vector<std::pair<const Expression*, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  const Expression* iterable;
  const Expression* condition;  // null: none
  bool recursive = false;
  Body body, otherwise;
};
struct Set {
  Target target;
  const Expression* value;
};
struct SetBlock {
  Target target;
  const Expression* filter;  // null: none
  Body body;
};
struct Macro {
  NameId name;
  MacroBody macro;
};
struct CallBlock {
  const Expression* call;
  MacroBody caller;
};
struct FilterBlock {
  const Expression* filter;
  Body body;
};
struct With {
  std::vector<std::pair<Target, const Expression*>> values;
  Body body;
};
// {% generation %}: marks what the assistant says for training; here its body alone.
struct Scope {
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  Position position;
  std::variant<Data, Output, If, For, Set, SetBlock, Macro, CallBlock, FilterBlock, With, Scope, Break,
               Continue>
      form;
};

// Names that statements give a meaning to.
enum KnownName : NameId { kLoopName, kCallerName, kVarargsName, kKwargsName };
inline constexpr const char* kKnownNames[] = {"loop", "caller", "varargs", "kwargs"};

struct Tree {
  std::deque<Expression> expressions;
  std::deque<Statement> statements;
  std::vector<std::string> names;  // the known ones first
  Body body;
};

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_AST_H_
