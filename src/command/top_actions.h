/* command/top_actions.h: what `weir top` changes of a server: the operator's word and its weight, and taking the last change
 * back. */
#pragma once

#include "command/top_view.h"

#define TOP_NOTICE_MAX 256u

struct top_undo {
    bool is_there;
    char pool[TOP_NAME_MAX], server[TOP_NAME_MAX];
    char admin[16];
    double weight;
};

/* `row` is a server's. Says in `notice` what became of it; the former state is in `undo` then. */
void top_set_admin(const struct api_target *to, const struct conf_node *row, const char *admin,
                   struct top_undo *undo, char notice[TOP_NOTICE_MAX]);
void top_set_weight(const struct api_target *to, const struct conf_node *row, const char *weight,
                    struct top_undo *undo, char notice[TOP_NOTICE_MAX]);
void top_undo(const struct api_target *to, struct top_undo *undo, char notice[TOP_NOTICE_MAX]);
