-- True if the user may create objects in Vivarium's buckets with a token of their own: staff, in the public
-- buckets. All other uploads need a ticket and are verified. With `--direct-uploads` members may also create
-- objects in the folder under their own id, never in `shared/`; these are not verified.
   (bucket_id = any ({public}) and {staff})
or ({direct_uploads} and bucket_id = any ({owned}) and cardinality(path_tokens) > 1
    and path_tokens[1] = {member})
