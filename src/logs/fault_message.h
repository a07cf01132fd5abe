/* logs/fault_message.h: which kind of fault a line of nginx's error log tells of. Pure. */
#pragma once

#include "logs/error_line.h"
#include "logs/fault_kind.h"

/* FAULT_NONE: it tells of none, such as a start, or a keep-alive connection that was closed. */
enum fault_kind fault_of_message(const struct error_line *line);
