// Which rows and columns of a results table are shown, and in which order.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eval/report/grid.h"
#include "eval/report/published.h"
#include "eval/report/result_table.h"

namespace skipbench {

struct TableLayout {
  // "cells": a row per cell, a table per data set. "paper": a row per batch size, target and
  // strategy with the quality of each data set side by side, as Table 4 of arXiv 2404.06954.
  std::string name = "cells";
  std::vector<std::string> rows;           // columns that come first and by which rows are ordered
  std::vector<std::string> columns;        // by key or name; empty: the usual ones
  std::vector<std::string> where;          // "KEY=VALUE[,VALUE...]"; a row must match each
  std::optional<PublishedNumbers> beside;  // of "paper": columns after one's own
};

// A column of one table: a fixed one, a score, or a score's p-value.
struct TableField {
  std::string name, key, definition;
  bool on_request = false;
  bool if_present = false;
  std::function<std::optional<std::string>(const TableRow&)> text;
  std::function<std::optional<double>(const TableRow&)> value;  // null for texts
  std::function<bool(const TableRow&)> bold;                    // null: never
};

// Every column for the rows of `dataset` (empty: of all), scores between the fixed ones.
std::vector<TableField> table_fields(const ResultTable& table, const std::string& dataset);

// Those that `layout` asks for, in its order; with `all`, columns on request are usual ones too.
// Throws Error for an unknown column.
std::vector<TableField> chosen_fields(const ResultTable& table, const std::string& dataset,
                                      const TableLayout& layout, bool all);

// Keeps the rows that `layout.where` matches and orders them by `layout.rows`. Throws Error for an
// unknown column, a condition without "=" and one that no row meets.
ResultTable arranged_rows(ResultTable table, const TableLayout& layout);

// One grid per data set, or the paper's. Throws Error for an unknown layout, and for published
// numbers in another layout than the paper's.
std::vector<Grid> table_grids(const ResultTable& table, const TableLayout& layout);

std::vector<std::string> datasets_of(const ResultTable& table);

}  // namespace skipbench
