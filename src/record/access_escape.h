/* record/access_escape.h: bytes from outside as a value of a line of the access log. Worker side. */
#pragma once

#include "base/text.h"
#include "record/access_log_conf.h"

/* Adds `s` so that it neither ends the line nor the quotes around it: by nginx's default escaping, or as the inside of a
 * JSON string, with U+FFFD for what is no UTF-8. */
void access_escape_add(struct text *out, enum access_escape escape, struct slice s);
