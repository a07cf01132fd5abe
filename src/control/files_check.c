#include "control/files_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/files_conf.h"

/* Entering a folder is enough to serve what is in it by name. */
static void check_root(struct conf_decode *d, const struct conf_node *node, const struct files_conf *f)
{
    struct stat st;
    if (stat(f->root, &st) < 0) {
        bool is_missing = errno == ENOENT || errno == ENOTDIR;
        conf_decode_note(d, node, NULL,
                         is_missing ? "make it; until then each request is answered with 500 (file_no_root)"
                                    : "let the user that weir runs as enter the folders that lead to it",
                         "the folder %.300s %s", f->root,
                         is_missing ? "is not there" : "cannot be looked at");
    } else if (!S_ISDIR(st.st_mode)) {
        conf_decode_note(d, node, NULL, "name the folder that it is in",
                         "%.300s is no folder: nothing can be served from it", f->root);
    } else if (faccessat(AT_FDCWD, f->root, X_OK, AT_EACCESS) < 0) {
        conf_decode_note(d, node, NULL, "let the user that weir runs as enter it (chmod o+x, or its group)",
                         "the folder %.300s may not be entered by who checks this: %s", f->root,
                         strerror(errno));
    } else if (f->fallback) {
        char path[2100];
        snprintf(path, sizeof(path), "%s/%s", f->root, f->fallback);
        if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
            conf_decode_note(d, node, NULL, "make it, or let the user that weir runs as read it",
                             "the fallback %.300s cannot be read: %s", path, strerror(errno));
    }
}

static void check_one(struct conf_decode *d, const struct conf_node *owner, const struct files_conf *f)
{
    const struct conf_node *node = conf_node_get(owner, "files");
    if (node && f) check_root(d, node, f);
}

void files_check(struct conf_decode *d, const struct conf_node *root, const struct config *c)
{
    const struct listener_conf *listeners = c->proxy.listeners.data;
    const struct conf_node *at = conf_node_nth(conf_node_get(root, "listeners"), 0);
    for (uint32_t i = 0; at && i < c->proxy.listeners.count; i++, at = at->next) {
        const struct route_conf *routes = listeners[i].routes.data;
        const struct conf_node *route = conf_node_nth(conf_node_get(at, "routes"), 0);
        check_one(d, at, listeners[i].files);
        for (uint32_t k = 0; route && k < listeners[i].routes.count; k++, route = route->next)
            check_one(d, route, routes[k].files);
    }
}
