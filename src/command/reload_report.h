/* command/reload_report.h: for commands: asks a running weir for another configuration, or what it would change, and tells
 * people what comes of it. */
#pragma once

#include <stdio.h>

#include "command/api_client.h"
#include "conf/node.h"

/* What the API's ReloadOutcome says. EX_OK, or EX_PROTOCOL if it is none. */
MUST_CHECK int reload_report_tell(const struct conf_node *outcome, FILE *out);
/* Likewise of what one generation changes of another: `what` names both, and nothing is said of what is in force. */
MUST_CHECK int reload_report_compare(const char *what, const struct conf_node *outcome, FILE *out);
/* Asks, and shows: what has changed on stdout (is_json: the answer as it is); every mistake, with its place, on stderr, and
 * EX_CONFIG if weir refuses the configuration; else as api_client_ask(). */
MUST_CHECK int reload_report_ask(const char *command, const struct api_target *to,
                                 const struct api_request *rq, bool is_json);
