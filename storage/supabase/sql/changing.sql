-- Who replaces, moves and deletes objects of our buckets with a token of their own: staff in the public
-- ones. Anybody else could put other bytes in the place of those that were verified, under a URL that is
-- already handed out.
   (bucket_id = any ({public}) and {staff})
