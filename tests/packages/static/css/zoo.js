function feed ( animal ) { return animal ; }
