/* control/messages_conf.h: `messages: json`, as decoded: in which form weir's own messages are, and where they go. */
#pragma once

#include "conf/field.h"

struct messages_conf {
    uint32_t form;       /* enum log_form */
    const char *journal; /* the path of journald's socket */
};

extern const struct conf_type messages_conf_type;
